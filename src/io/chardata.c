/* SPDX-License-Identifier: Apache-2.0 */
/* Text that is still in pieces: binaries and code points in nested lists. It does not recurse: what is left
   of the lists around the present one stands on a stack of its own. */
#include "io/chardata.h"

#include "os/alloc.h"
#include "term/utf8.h"

static bool put_code(struct cop__framer *out, uint64_t code, bool latin1) {
    uint8_t bytes[4];
    size_t size = code <= (latin1 ? 0xff : 0x10ffff) ? cop__utf8_put((uint32_t)code, bytes) : 0;
    cop__framer_put(out, (const char *)bytes, size);
    return size > 0;
}

static enum cop__chardata put_leaf(struct cop__framer *out, cop_term leaf, enum cop__charset set) {
    cop_bytes bytes;
    uint64_t code;
    if (cop_get_u64(leaf, &code))
        return put_code(out, code, set == COP__LATIN1) ? COP__CHARDATA_OK : COP__CHARDATA_BAD;
    if (!cop_get_bytes(leaf, &bytes))
        return cop_is_integer(leaf) ? COP__CHARDATA_BAD : COP__CHARDATA_NO_TEXT;
    if (set == COP__LATIN1) {
        for (size_t i = 0; i < bytes.size; i++)
            put_code(out, bytes.data[i], true);
        return COP__CHARDATA_OK;
    }
    if (set == COP__UTF8 && !cop__utf8_valid((const char *)bytes.data, bytes.size, NULL))
        return COP__CHARDATA_BAD;
    cop__framer_put(out, (const char *)bytes.data, bytes.size);
    return COP__CHARDATA_OK;
}

struct rest {
    cop_term *terms;
    size_t count, room;
};

static void push(struct rest *rest, cop_term t) {
    if (rest->count == rest->room) {
        rest->room = rest->room == 0 ? 64 : rest->room * 2;
        rest->terms = cop__realloc(rest->terms, rest->room * sizeof *rest->terms);
    }
    rest->terms[rest->count++] = t;
}

enum cop__chardata cop__chardata_utf8(struct cop__framer *out, cop_term data,
                                      enum cop__charset set) {
    struct rest rest = { 0 };
    enum cop__chardata result = COP__CHARDATA_OK;
    cop_term head, tail;
    push(&rest, data);
    while (rest.count > 0 && result == COP__CHARDATA_OK) {
        cop_term t = rest.terms[--rest.count];
        while (result == COP__CHARDATA_OK && cop_get_cons(t, &head, &tail)) {
            if (cop_is_cons(head))
                push(&rest, tail);
            else if (!cop_is_nil(head))
                result = put_leaf(out, head, set);
            t = cop_is_cons(head) ? head : tail;
        }
        /* The end of a list; as a tail, or as the whole, a binary may stand here, but no number. */
        if (result == COP__CHARDATA_OK && !cop_is_nil(t))
            result = cop_is_binary(t) ? put_leaf(out, t, set) : COP__CHARDATA_NO_TEXT;
    }
    cop__free(rest.terms);
    return result;
}
