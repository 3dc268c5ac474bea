from tests.little_leaves import LEAF_BITS, make_leaves_little

if LEAF_BITS is not None:
    make_leaves_little(int(LEAF_BITS))
