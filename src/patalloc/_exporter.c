/* Exporter: an object that lends memory it does not own through the buffer protocol, and knows how
 * many views of it there are. Python has the like (object.__buffer__) from 3.12 on only. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

typedef struct {
  PyObject_HEAD void *address; /* NULL: nothing to lend any more */
  Py_ssize_t size, exports;
} Exporter;

static int exporter_init(PyObject *self, PyObject *arguments, PyObject *keywords) {
  static char *names[] = {"address", "size", NULL};
  Exporter *exporter = (Exporter *)self;
  Py_ssize_t size;
  PyObject *address;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "On", names, &address, &size)) return -1;
  if (exporter->exports) {
    PyErr_SetString(PyExc_BufferError, "views of this memory exist");
    return -1;
  }
  void *pointer = PyLong_AsVoidPtr(address);
  if (PyErr_Occurred()) return -1;
  exporter->address = pointer;
  exporter->size = size;
  return 0;
}

static int exporter_get(PyObject *self, Py_buffer *view, int flags) {
  Exporter *exporter = (Exporter *)self;
  view->obj = NULL;
  if (!exporter->address) {
    PyErr_SetString(PyExc_ValueError, "the block has been freed");
    return -1;
  }
  if (PyBuffer_FillInfo(view, self, exporter->address, exporter->size, 0, flags)) return -1;
  exporter->exports++;
  return 0;
}

static void exporter_release(PyObject *self, Py_buffer *view) {
  (void)view;
  ((Exporter *)self)->exports--;
}

static PyObject *exporter_withdraw(PyObject *self, PyObject *unused) {
  Exporter *exporter = (Exporter *)self;
  (void)unused;
  if (exporter->exports)
    return PyErr_Format(PyExc_BufferError, "the block has %zd exported views; release them first",
                        exporter->exports);
  if (!exporter->address) {
    PyErr_SetString(PyExc_ValueError, "the block has been freed");
    return NULL;
  }
  void *address = exporter->address;
  exporter->address = NULL;
  return PyLong_FromVoidPtr(address);
}

static PyMethodDef exporter_methods[] = {
    {"withdraw", exporter_withdraw, METH_NOARGS,
     "Lend nothing any more, and return the address.\n\n"
     "Raises BufferError while views exist, ValueError the second time."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef exporter_members[] = {
    {"exports", T_PYSSIZET, offsetof(Exporter, exports), READONLY, "How many views there are."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot exporter_slots[] = {
    {Py_tp_doc, "Lends `size` bytes at `address` through the buffer protocol."},
    {Py_tp_init, exporter_init},
    {Py_tp_methods, exporter_methods},
    {Py_tp_members, exporter_members},
    {Py_bf_getbuffer, exporter_get},
    {Py_bf_releasebuffer, exporter_release},
    {0, NULL},
};

static PyType_Spec exporter_spec = {
    .name = "patalloc._exporter.Exporter",
    .basicsize = sizeof(Exporter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = exporter_slots,
};

static int module_exec(PyObject *module) {
  PyObject *type = PyType_FromSpec(&exporter_spec);
  if (!type) return -1;
  int failed = PyModule_AddObjectRef(module, "Exporter", type);
  Py_DECREF(type);
  return failed;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, (void *)module_exec}, {0, NULL}};
static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_exporter", .m_slots = module_slots};

PyMODINIT_FUNC PyInit__exporter(void) {
  return PyModuleDef_Init(&module);
}
