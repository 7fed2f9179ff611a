/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__IO_USER_H
#define COP__IO_USER_H

#include <coppice/process.h>

/* :user and :standard_error run afterwards, also when one of them had ended. Returns one of them. */
cop_pid cop__io_ensure_started(cop_ctx *ctx, bool error);
/* A request of the file protocol to an open file's device (io.c). */
cop_term cop__file_request(cop_ctx *ctx, cop_term device, cop_term request);

#endif
