/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O protocol's client side. A request is answered to the reference of a monitor on the device, as
 * in Erlang, so that a device's end is seen too.
 *
 * Threads: processes.
 */
#include <coppice/io.h>

#include "io/user.h"
#include "proc/proc.h"

/* The pid behind a device; COP_NONE: nobody has that name. */
static cop_term pid_of(cop_ctx *ctx, cop_term device) {
    cop_atom name;
    if (!cop_get_atom(device, &name))
        return device;
    if (cop_match(device, cop_a(stdio))) {
        cop__io_ensure_started(ctx, false);
        return cop_process_group_leader(ctx).t;
    }
    if (cop_match(device, cop_a(stderr)) || cop_match(device, cop_a(standard_error)))
        return cop__io_ensure_started(ctx, true).t;
    return cop_match(device, cop_a(user)) ? cop__io_ensure_started(ctx, false).t
                                          : cop_process_whereis(ctx, name);
}

static cop_term request_of(cop_ctx *ctx, cop_term device, cop_atom kind, cop_term request) {
    cop_term pid = pid_of(ctx, device), message;
    cop_atom name, node;
    if (cop_is_none(pid) || !(cop_is_pid(pid) || cop_match_tuple(pid, &name, &node)))
        return cop_tuple(ctx, cop_a(error), cop_a(arguments));
    if (cop_same(pid, cop_self(ctx).t))
        return cop_tuple(ctx, cop_a(error), cop_a(calling_self));
    cop_ref ref = cop_process_monitor(ctx, pid);
    cop_send(ctx, pid, cop_tuple(ctx, kind, cop_self(ctx), ref, request));
    cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    return cop_tuple_size(message) == 3 ? cop_elem(message, 2)
                                        : cop_tuple(ctx, cop_a(error), cop_a(terminated));
}

cop_term cop__io_request(cop_ctx *ctx, cop_term device, cop_term request) {
    return request_of(ctx, device, cop_a(io_request), request);
}

cop_term cop__file_request(cop_ctx *ctx, cop_term device, cop_term request) {
    return request_of(ctx, device, cop_a(file_request), request);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* As :io raises: its own words stay, all else is a bad argument. */
static void raise_unless_ok(cop_ctx *ctx, cop_term reply) {
    cop_term reason, from, to;
    if (!cop_match_tuple(reply, cop_a(error), &reason))
        return;
    if (cop_match_tuple(reason, cop_a(no_translation), &from, &to))
        reason = cop_a(no_translation).t;
    else if (!cop_match(reason, cop_a(terminated)) && !cop_match(reason, cop_a(calling_self))
             && !cop_match(reason, cop_a(no_translation)))
        reason = cop_a(badarg).t;
    cop_error(ctx, reason);
}

/* Elixir's to_string/1 of what has one; text stays as it is. */
static cop_term chardata_of(cop_ctx *ctx, cop_term item) {
    cop_atom name;
    char text[256];
    if (cop_is_binary(item) || cop_is_list(item))
        return item;
    if (cop_get_atom(item, &name)) {
        size_t size;
        const char *bytes = cop_atom_name(name, &size);
        return cop_match(item, cop_a(nil)) ? cop_of(ctx, "") : cop_binary(ctx, bytes, size);
    }
    if (cop_is_number(item))
        return cop_inspect(ctx, item, NULL);
    cop_inspect_to(text, sizeof text, item, NULL);
    cop_raise(ctx, "Protocol.UndefinedError", "protocol String.Chars not implemented for %s", text);
}

static void put(cop_ctx *ctx, cop_term device, cop_atom encoding, cop_term chars) {
    raise_unless_ok(
        ctx, cop__io_request(ctx, device, cop_tuple(ctx, cop_a(put_chars), encoding, chars)));
}

void cop__io_write(cop_ctx *ctx, cop_term device, cop_term item) {
    put(ctx, device, cop_a(unicode), chardata_of(ctx, item));
}

void cop__io_puts(cop_ctx *ctx, cop_term device, cop_term item) {
    put(ctx, device, cop_a(unicode), cop_list(ctx, chardata_of(ctx, item), '\n'));
}

cop_term cop__io_inspect(cop_ctx *ctx, cop_term device, cop_term item) {
    cop__io_puts(ctx, device, cop_inspect(ctx, item, NULL));
    return item;
}

void cop__io_binwrite(cop_ctx *ctx, cop_term device, cop_term iodata) {
    if (cop_iodata_size(iodata) < 0)
        cop_error(ctx, cop_a(badarg));
    put(ctx, device, cop_a(latin1), iodata);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

cop_term cop__io_gets(cop_ctx *ctx, cop_term device, cop_term prompt) {
    return cop__io_request(ctx, device, cop_tuple(ctx, cop_a(get_line), cop_a(unicode), prompt));
}

cop_term cop__io_read(cop_ctx *ctx, cop_term device, uint64_t count, bool bytes) {
    return cop__io_request(
        ctx, device,
        cop_tuple(ctx, cop_a(get_chars), bytes ? cop_a(latin1) : cop_a(unicode), "", count));
}

cop_term cop__io_read_all(cop_ctx *ctx, cop_term device, uint64_t max_bytes) {
    cop_term pieces = COP_NIL;
    cop_bytes bytes;
    for (uint64_t size = 0;;) {
        cop_term piece = cop__io_read(ctx, device, 65536, false);
        if (cop_match(piece, cop_a(eof)))
            return cop_iodata_to_binary(ctx, cop_list_reverse(ctx, pieces));
        if (!cop_get_bytes(piece, &bytes))
            return piece;
        size += bytes.size;
        if (max_bytes != 0 && size > max_bytes)
            return cop_tuple(ctx, cop_a(error), cop_a(efbig));
        pieces = cop_cons(ctx, piece, pieces);
    }
}

static bool lines_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    (void)state;
    *element = cop__io_gets(ctx, *kept, cop_of(ctx, ""));
    if (cop_tuple_size(*element) >= 0)
        cop_error(ctx, *element);
    return !cop_match(*element, cop_a(eof));
}
static const cop_generator lines = { .name = "IO.Stream", .next = lines_next };

cop_term cop__io_stream(cop_ctx *ctx, cop_term device) { return cop_stream(ctx, &lines, device); }
