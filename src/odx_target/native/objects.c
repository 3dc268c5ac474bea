/* Access to the attributes and items of Python objects. */

#include "native.h"

int prepare_names(const Name *names)
{
    for (; names->name != NULL; names++)
        if ((*names->name = PyUnicode_InternFromString(names->text)) == NULL)
            return -1;
    return 0;
}

uint64_t unsigned_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL)
        return 0;
    uint64_t number = PyLong_AsUnsignedLongLong(value);
    Py_DECREF(value);
    return PyErr_Occurred() ? 0 : number;
}

long long number_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL)
        return -1;
    long long number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return number;
}

PyObject *take_exception(void)
{
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL)
        (void)PyException_SetTraceback(error, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
}

int truth_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int truth = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    return truth;
}

void put_little(unsigned char *to, uint64_t number, int size)
{
    for (int byte = 0; byte < size; byte++)
        to[byte] = (unsigned char)(number >> 8 * byte);
}

PyObject *item_of(PyObject *dict, long long number)
{
    PyObject *key = PyLong_FromLongLong(number);
    if (key == NULL)
        return NULL;
    PyObject *item = PyDict_GetItemWithError(dict, key);
    Py_DECREF(key);
    return Py_XNewRef(item);
}

int set_number(PyObject *object, PyObject *name, uint32_t number)
{
    PyObject *value = PyLong_FromUnsignedLong(number);
    int failed = value == NULL || PyObject_SetAttr(object, name, value);
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

int add_to_item(PyObject *list, Py_ssize_t index, uint64_t number)
{
    PyObject *added = PyLong_FromUnsignedLongLong(number), *sum = NULL;
    if (added != NULL && index < PyList_GET_SIZE(list))
        sum = PyNumber_Add(PyList_GET_ITEM(list, index), added);
    Py_XDECREF(added);
    return sum == NULL ? -1 : PyList_SetItem(list, index, sum);
}

PyObject *part_of_view(PyObject *view, Py_ssize_t from, Py_ssize_t end)
{
    PyObject *part = NULL, *start = PyLong_FromSsize_t(from), *stop = PyLong_FromSsize_t(end);
    PyObject *slice = start != NULL && stop != NULL ? PySlice_New(start, stop, NULL) : NULL;
    Py_XDECREF(start);
    Py_XDECREF(stop);
    if (slice != NULL)
        part = PyObject_GetItem(view, slice);
    Py_XDECREF(slice);
    return part;
}
