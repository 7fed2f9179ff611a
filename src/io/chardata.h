/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_CHARDATA_H
#define COP__IO_CHARDATA_H

#include <coppice/term.h>

#include "io/framer.h"

enum cop__chardata {
    COP__CHARDATA_OK,
    COP__CHARDATA_NO_TEXT, /* no list of characters and binaries at all */
    COP__CHARDATA_BAD,     /* a binary that is no UTF-8, or a number that is no code point */
};

enum cop__charset {
    COP__UTF8,
    COP__UTF8_LENIENT, /* the bytes of a binary pass as they are */
    COP__LATIN1,       /* a binary's bytes are characters, and no code point may be above 255 */
};

/*
 * Chardata (a binary, or a list of code points, binaries and such lists) as UTF-8, appended to `out`. What
 * was appended before an error stays there.
 */
enum cop__chardata cop__chardata_utf8(struct cop__framer *out, cop_term data,
                                      enum cop__charset set);

#endif
