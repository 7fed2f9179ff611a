/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_H
#define COPPICE_H

/* The whole public API. Tests include coppice/test.h too. */
#include <coppice/match.h>
#include <coppice/node.h>
#include <coppice/process.h>
#include <coppice/term.h>

#endif
