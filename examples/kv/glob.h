/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KV_GLOB_H
#define KV_GLOB_H

#include <coppice/term.h>

/* Whether text matches a pattern of KEYS and SCAN: ? * [abc] [^a-z] and \ before any of them.
   Takes time in proportion to both sizes multiplied, whatever the pattern is. */
bool glob_matches(cop_bytes pattern, cop_bytes text);

#endif
