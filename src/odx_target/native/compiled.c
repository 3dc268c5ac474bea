/* The native module. It needs a processor with the instruction for CRC32C; without it, the import fails. */

#include "native.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "odx_target.native.compiled",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit_compiled(void)
{
    if (!__builtin_cpu_supports("sse4.2"))
        return PyErr_Format(PyExc_ImportError, "the processor has no instruction for CRC32C");
    prepare_crc32c();
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && (add_block_reader(module) || add_block_writer(module) || add_batch_header(module) || add_batch_writer(module) ||
                           add_segment_mapping(module) || add_short_lane(module) || add_direct_member(module) || add_batch_tally(module)))
        Py_CLEAR(module);
    return module;
}
