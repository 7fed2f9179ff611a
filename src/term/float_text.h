/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_FLOAT_TEXT_H
#define COP__TERM_FLOAT_TEXT_H

#include <stddef.h>

enum { COP__FLOAT_TEXT_MAX = 40 };

/* Writes d as Elixir shows it, with the fewest digits that read back as d; returns the length. */
size_t cop__float_text(double d, char out[COP__FLOAT_TEXT_MAX]);
/* Reads [-]digits.digits[e[sign]digits], closed by a NUL, whatever the locale of the program. */
double cop__float_parse(const char *text);

#endif
