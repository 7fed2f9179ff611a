/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__OTP_SYS_DEBUG_H
#define COP__OTP_SYS_DEBUG_H

#include <coppice/sys.h>

/* Carries out what came in {:debug, command}; returns the answer. */
cop_term sys_debug_command(cop_ctx *ctx, cop_sys *sys, const cop_sys_callbacks *callbacks,
                           cop_term command);

#endif
