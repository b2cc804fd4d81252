/* For extension.py: an extension of Python's. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *sum_of(int *numbers) {
  for (int i = 0; i < 10; i++) numbers[i] = i;
  long sum = 0;
  for (int i = 0; i < 11; i++) sum += numbers[i];
  free(numbers);
  return PyLong_FromLong(sum);
}

static PyObject *call(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return sum_of(malloc(11 * sizeof(int)));
}

static PyObject *call_fixed(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return sum_of(calloc(11, sizeof(int)));
}

static PyMethodDef methods[] = {{"numbers", call, METH_NOARGS, "A sum."},
                                {"fixed", call_fixed, METH_NOARGS, "The same, right."},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "bug_extension", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_bug_extension(void) {
  return PyModule_Create(&module);
}
