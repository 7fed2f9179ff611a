/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all dispatchers of GenStage share: the message that events travel in, options, log events.
 *
 * A dispatcher's table of consumers is an array in C, which a dispatch walks without following a
 * pointer; pids and tags stand in it as struct held.
 *
 * Threads: the stage's process.
 */
#include "dispatch.h"

#include <coppice/gen.h>

void from_parts(cop_ctx *ctx, cop_from from, cop_term *pid, cop_term *tag) {
    if (!cop_match_tuple(from.t, pid, tag))
        cop_error(ctx, cop_a(badarg));
}

void dispatch_events(cop_ctx *ctx, cop_term pid, cop_term tag, cop_events events) {
    cop_gen_send_list(ctx, pid, cop_as("$gen_consumer"), tag, events.count, events.at,
                      COP_SEND_NOCONNECT);
}

void cop_dispatcher_send(cop_ctx *ctx, cop_from to, cop_events events) {
    cop_term pid, tag;
    from_parts(ctx, to, &pid, &tag);
    dispatch_events(ctx, pid, tag, events);
}

void cop_dispatcher_info(cop_ctx *ctx, const cop_dispatcher *dispatcher, void *state,
                         cop_term message) {
    if (dispatcher->info != NULL)
        dispatcher->info(ctx, state, message);
    else
        cop_send(ctx, cop_self(ctx), message);
}

cop_term dispatch_option(cop_term opts, cop_atom key) {
    cop_term pair, value;
    while (cop_get_cons(opts, &pair, &opts))
        if (cop_match_tuple(pair, key, &value))
            return value;
    return COP_NONE;
}

void dispatch_bad(cop_ctx *ctx, const char *text, cop_term got) {
    cop_bytes shown;
    cop_get_bytes(cop_inspect(ctx, got, NULL), &shown);
    cop_raise(ctx, "ArgumentError", "%s%.*s", text, (int)shown.size, (const char *)shown.data);
}

void dispatch_log(cop_ctx *ctx, cop_level level, const char *format, cop_term args) {
    cop_atom tag = level == COP_LEVEL_WARNING ? cop_a(warning_msg) : cop_a(error);
    cop_log(ctx, level, cop_tuple(ctx, cop_a(format), cop_charlist(ctx, format), args),
            cop_map(ctx, cop_a(error_logger), cop_map(ctx, cop_a(tag), tag)));
}
