/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the negative errno values that host calls return. */
#include <coppice/node.h>
#include <string.h>

const char *cop_strerror(int error) {
    const char *text = strerrordesc_np(error < 0 ? -error : error);
    return text != NULL ? text : "unknown error";
}
