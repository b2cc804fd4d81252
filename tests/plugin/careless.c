/* An extension each function of which makes one error in the heap. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

/* By pointers that the compiler can't look through. */
static void *(*volatile take)(size_t) = malloc;
static void (*volatile give)(void *) = free;

/* (buffer, index): a byte there, which need not be in it. */
static PyObject *put(PyObject *module, PyObject *arguments) {
  Py_buffer buffer;
  Py_ssize_t index;
  if (!PyArg_ParseTuple(arguments, "w*n", &buffer, &index)) return NULL;
  ((volatile char *)buffer.buf)[index] = 7;
  PyBuffer_Release(&buffer);
  Py_RETURN_NONE;
}

/* (size): writes into a block of that size that was freed. */
static PyObject *use_after_free(PyObject *module, PyObject *size) {
  size_t bytes = PyLong_AsSize_t(size);
  volatile char *block = take(bytes);
  block[0] = 1;
  give((void *)block);
  block[bytes / 2] = 2;
  Py_RETURN_NONE;
}

static PyObject *free_twice(PyObject *module, PyObject *size) {
  void *block = take(PyLong_AsSize_t(size));
  give(block);
  give(block);
  Py_RETURN_NONE;
}

/* (size): writes a byte past the end of a block that is never freed. */
static PyObject *overrun_and_keep(PyObject *module, PyObject *size) {
  size_t bytes = PyLong_AsSize_t(size);
  static volatile char *volatile kept;
  kept = take(bytes);
  kept[bytes] = 1;
  Py_RETURN_NONE;
}

/* (size): a block's bytes, which nobody has written. */
static PyObject *unwritten(PyObject *module, PyObject *size) {
  size_t bytes = PyLong_AsSize_t(size);
  void *block = take(bytes);
  PyObject *content = PyBytes_FromStringAndSize(block, bytes);
  give(block);
  return content;
}

static PyObject *die(PyObject *module, PyObject *unused) {
  *(volatile char *)8 = 1;
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"put", put, METH_VARARGS, ""},
    {"use_after_free", use_after_free, METH_O, ""},
    {"free_twice", free_twice, METH_O, ""},
    {"overrun_and_keep", overrun_and_keep, METH_O, ""},
    {"unwritten", unwritten, METH_O, ""},
    {"die", die, METH_NOARGS, ""},
    {0},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "careless", "", -1, functions};

PyMODINIT_FUNC PyInit_careless(void) {
  return PyModule_Create(&module);
}
