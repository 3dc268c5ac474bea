#include "passes/batch_tally.h"

static PyObject *name_unit, *name_earlier, *name_end, *name_counts, *name_sizes, *name_commands, *name_size_bytes, *name_clock, *name_began_s,
    *name_traffic, *name_kinds, *name_buckets, *name_bounds, *name_latency_sum_s, *name_add;

static const Name names[] = {
    {&name_unit, "unit"},         {&name_earlier, "_earlier"},     {&name_end, "end"},
    {&name_counts, "counts"},     {&name_sizes, "sizes"},          {&name_commands, "commands"},
    {&name_size_bytes, "size_bytes"}, {&name_clock, "_clock"},     {&name_began_s, "began_s"},
    {&name_traffic, "traffic"},   {&name_kinds, "kinds"},          {&name_buckets, "buckets"},
    {&name_bounds, "bounds_s"},   {&name_latency_sum_s, "latency_sum_s"}, {&name_add, "add"},
    {NULL, NULL},
};

/* The lists of a tally, by kind of command. */
typedef struct {
    PyObject *counts, *sizes, *commands, *size_bytes;
} Lists;

static double float_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    double number = value == NULL ? -1 : PyFloat_AsDouble(value);
    Py_XDECREF(value);
    return number;
}

/* Return the index of the first bound that is not below a latency, or that of the last one, as `bucket_of` does. */
static Py_ssize_t bucket_of(const double *bounds_s, Py_ssize_t count, double latency_s)
{
    Py_ssize_t low = 0, high = count - 1;
    while (low < high) {
        Py_ssize_t middle = (low + high) / 2;
        if (bounds_s[middle] < latency_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Count latencies in the histogram of a KindTraffic. Return 1, or 0 if it has no histogram yet, or -1 with an exception. */
static int add_to_buckets(PyObject *kind, uint64_t count, double latency_s)
{
    PyObject *array = PyObject_GetAttr(kind, name_buckets), *table = array == NULL ? NULL : PyObject_GetAttr(kind, name_bounds);
    Py_buffer buckets = {.obj = NULL}, bounds = {.obj = NULL};
    int found = table == NULL || PyObject_GetBuffer(array, &buckets, PyBUF_WRITABLE) || PyObject_GetBuffer(table, &bounds, PyBUF_SIMPLE) ? -1 : 0;
    Py_ssize_t size = bounds.len / (Py_ssize_t)sizeof(double);
    if (found == 0 && size > 0 && buckets.len == size * (Py_ssize_t)sizeof(uint64_t)) {
        ((uint64_t *)buckets.buf)[bucket_of(bounds.buf, size, latency_s)] += count;
        found = 1;
    }
    if (buckets.obj != NULL)
        PyBuffer_Release(&buckets);
    if (bounds.obj != NULL)
        PyBuffer_Release(&bounds);
    Py_XDECREF(array);
    Py_XDECREF(table);
    return found;
}

/* Add a number to an attribute, which is a number. */
static int add_to_attribute(PyObject *object, PyObject *name, PyObject *added)
{
    PyObject *value = PyObject_GetAttr(object, name), *sum = value == NULL ? NULL : PyNumber_Add(value, added);
    int failed = sum == NULL || PyObject_SetAttr(object, name, sum);
    Py_XDECREF(value);
    Py_XDECREF(sum);
    return failed;
}

/* Do the same as `KindTraffic.add`. */
static int add_to_traffic(PyObject *kind, PyObject *count, PyObject *size, double latency_s)
{
    uint64_t commands = PyLong_AsUnsignedLongLong(count);
    int found = PyErr_Occurred() ? -1 : add_to_buckets(kind, commands, latency_s);
    PyObject *latency = found < 0 ? NULL : PyFloat_FromDouble(found ? (double)commands * latency_s : latency_s), *done = NULL;
    int failed = latency == NULL;
    if (!failed && found)
        failed = add_to_attribute(kind, name_commands, count) || add_to_attribute(kind, name_size_bytes, size)
                 || add_to_attribute(kind, name_latency_sum_s, latency);
    else if (!failed)
        failed = (done = PyObject_CallMethodObjArgs(kind, name_add, count, size, latency, NULL)) == NULL;
    Py_XDECREF(latency);
    Py_XDECREF(done);
    return failed;
}

/* Move the number of an item of a list to the same item of another list. */
static int move_item(PyObject *from, PyObject *to, Py_ssize_t index)
{
    PyObject *sum = PyNumber_Add(PyList_GET_ITEM(to, index), PyList_GET_ITEM(from, index)), *zero = PyLong_FromLong(0);
    if (sum == NULL || zero == NULL) {
        Py_XDECREF(sum);
        Py_XDECREF(zero);
        return -1;
    }
    return PyList_SetItem(to, index, sum) || PyList_SetItem(from, index, zero);
}

/* Add the commands of all kinds to the traffic of their unit. */
static int add_all(PyObject *tally, PyObject *kinds, const Lists *of)
{
    double latency_s = -1;
    for (Py_ssize_t kind = 0; kind < PyList_GET_SIZE(of->counts); kind++) {
        PyObject *count = PyList_GET_ITEM(of->counts, kind);
        int any = PyObject_IsTrue(count);
        if (any > 0 && latency_s < 0) {
            PyObject *now = PyObject_CallMethodNoArgs(tally, name_clock);
            latency_s = now == NULL ? -1 : PyFloat_AsDouble(now) - float_of(tally, name_began_s);
            Py_XDECREF(now);
        }
        if (any < 0 || PyErr_Occurred())
            return -1;
        if (any && (add_to_traffic(PyTuple_GET_ITEM(kinds, kind), count, PyList_GET_ITEM(of->sizes, kind), latency_s)
                    || move_item(of->counts, of->commands, kind) || move_item(of->sizes, of->size_bytes, kind)))
            return -1;
    }
    return 0;
}

/* Return 1 if the lists and the kinds of a tally have equal lengths. */
static int is_sound(const Lists *of, PyObject *kinds)
{
    if (of->size_bytes == NULL || kinds == NULL || !PyList_Check(of->counts) || !PyList_Check(of->sizes) || !PyList_Check(of->commands)
        || !PyList_Check(of->size_bytes) || !PyTuple_Check(kinds))
        return 0;
    Py_ssize_t count = PyTuple_GET_SIZE(kinds);
    return PyList_GET_SIZE(of->counts) == count && PyList_GET_SIZE(of->sizes) == count && PyList_GET_SIZE(of->commands) == count
           && PyList_GET_SIZE(of->size_bytes) == count;
}

/* End a batch whose commands all addressed one unit. */
static int end_simple(PyObject *tally, PyObject *unit)
{
    Lists of = {.counts = PyObject_GetAttr(tally, name_counts)};
    of.sizes = of.counts == NULL ? NULL : PyObject_GetAttr(tally, name_sizes);
    of.commands = of.sizes == NULL ? NULL : PyObject_GetAttr(tally, name_commands);
    of.size_bytes = of.commands == NULL ? NULL : PyObject_GetAttr(tally, name_size_bytes);
    PyObject *traffic = of.size_bytes == NULL ? NULL : PyObject_GetAttr(unit, name_traffic);
    PyObject *kinds = traffic == NULL ? NULL : PyObject_GetAttr(traffic, name_kinds);
    int failed = !is_sound(&of, kinds);
    if (failed && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a tally needs four lists with an item for each kind");
    failed = failed || add_all(tally, kinds, &of);
    Py_XDECREF(kinds);
    Py_XDECREF(traffic);
    Py_XDECREF(of.size_bytes);
    Py_XDECREF(of.commands);
    Py_XDECREF(of.sizes);
    Py_XDECREF(of.counts);
    return failed ? -1 : 0;
}

int end_batch(PyObject *tally)
{
    PyObject *unit = PyObject_GetAttr(tally, name_unit);
    int has_earlier = unit == NULL ? -1 : truth_of(tally, name_earlier), failed = has_earlier < 0;
    if (has_earlier > 0) {
        PyObject *done = PyObject_CallMethodNoArgs(tally, name_end);
        failed = done == NULL;
        Py_XDECREF(done);
    } else if (!failed && unit != Py_None) {
        failed = end_simple(tally, unit);
    }
    Py_XDECREF(unit);
    return failed ? -1 : 0;
}

static PyObject *end_batch_of(PyObject *Py_UNUSED(module), PyObject *tally)
{
    return end_batch(tally) ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef functions[] = {
    {"end_batch", end_batch_of, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

int add_batch_tally(PyObject *module)
{
    return prepare_names(names) || PyModule_AddFunctions(module, functions) ? -1 : 0;
}
