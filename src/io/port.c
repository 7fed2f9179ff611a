/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all ports have in common: the port protocol, and the calls of coppice/port.h.
 *
 * The protocol's messages name the owner. The calls may be made by any process, and come to the port as
 *
 *     {:"$port", {:command, iodata}}                    no answer
 *     {:system, {pid, ref}, :close}                     answered by the port's end, or by {ref, true}
 *     {:system, {pid, ref}, {:connect, pid}}            {ref, true | :badarg}
 *     {:system, {pid, ref}, {:info, item}}              {ref, value}
 *
 * where `ref` is a monitor of the port's, so that a port which is closed answers too. The shape of the
 * first is what a busy port holds back (see meter.c); the others always pass.
 *
 * Threads: cop__port_* with a frame on the loop's thread; the rest in any process.
 */
#include "io/port.h"

#include <string.h>
#include <uv.h>

#include "term/layout.h"

/* ---- the port's side ---------------------------------------------------------------------------------- */

cop_term cop__port_error(int uv_error) {
    char name[32];
    size_t n = 0;
    for (const char *text = uv_err_name(uv_error); *text != '\0' && n < sizeof name - 1; text++)
        name[n++] = (char)(*text >= 'A' && *text <= 'Z' ? *text + 32 : *text);
    name[n] = '\0';
    return cop_atom_new(name).t;
}

void cop__port_tell(struct cop__port_frame *f, cop_term what) {
    cop_send(f->ctx, f->owner, cop_tuple(f->ctx, f->port, what));
}

static void connect_to(struct cop__port_frame *f, cop_pid owner) {
    f->owner = owner;
    cop__port_own(f->ctx, owner);
}

/* What the owner, or anybody by a call, may ask without an answer. False: it is not that. */
static bool ask_plain(struct cop__port_frame *f, cop_term request) {
    cop_term iodata;
    if (!cop_match_tuple(request, cop_a(command), &iodata))
        return false;
    int64_t size = cop_iodata_size(iodata);
    if (size >= 0)
        f->kind->command(f, iodata, (size_t)size);
    return size >= 0;
}

static bool ask_as_owner(struct cop__port_frame *f, cop_term request) {
    cop_pid fresh, old = f->owner;
    if (cop_match(request, cop_a(close))) {
        cop__port_last_word(f->ctx, old, cop_tuple(f->ctx, f->port, cop_a(closed)));
        f->kind->close(f);
        return true;
    }
    if (cop_match_tuple(request, cop_a(connect), &fresh)) {
        connect_to(f, fresh);
        cop_send(f->ctx, old, cop_tuple(f->ctx, f->port, cop_a(connected)));
        return true;
    }
    return ask_plain(f, request);
}

static cop_term item_of(struct cop__port_frame *f, cop_atom item) {
    cop_ctx *ctx = f->ctx;
    if (cop_match(item.t, cop_a(name)))
        return cop_charlist(ctx, f->name);
    if (cop_match(item.t, cop_a(id)))
        return cop_of(ctx, f->port.t.w >> 6);
    if (cop_match(item.t, cop_a(connected)))
        return f->owner.t;
    if (cop_match(item.t, cop_a(input)))
        return cop_of(ctx, f->input);
    if (cop_match(item.t, cop_a(output)))
        return cop_of(ctx, f->output);
    if (cop_match(item.t, cop_a(os_pid)))
        return f->os_pid > 0 ? cop_of(ctx, f->os_pid) : cop_a(undefined).t;
    if (cop_match(item.t, cop_a(queue_size)))
        return cop_of(ctx, f->kind->queued(f));
    if (cop_match(item.t, cop_a(parallelism)))
        return cop_a(false).t;
    if (cop_match(item.t, cop_a(locking)))
        return cop_a(port_level).t;
    return cop__port_item(ctx, item);
}

/* Those of Port.info/1 first. */
static const char *const items[] = { "registered_name", "name",         "links",  "id",
                                     "connected",       "input",        "output", "os_pid",
                                     "monitors",        "monitored_by", "memory", "parallelism",
                                     "queue_size",      "locking" };
enum { ITEMS = sizeof items / sizeof *items, USUAL = 8 };

static cop_term usual_items(struct cop__port_frame *f) {
    cop_term list = COP_NIL;
    for (size_t i = USUAL; i > 0; i--) {
        cop_atom item = cop_atom_new(items[i - 1]);
        cop_term value = item_of(f, item);
        if (i > 1 || !cop_is_nil(value)) /* registered_name is there only when there is one */
            list = cop_cons(f->ctx, cop_tuple(f->ctx, item, value), list);
    }
    return list;
}

/* The asker's own monitor, for the answer, is none of the answer. */
static cop_term without_one(cop_ctx *ctx, cop_term list, cop_pid pid) {
    cop_term kept = COP_NIL, head;
    for (bool found = false; cop_get_cons(list, &head, &list);) {
        if (!found && head.w == pid.t.w)
            found = true;
        else
            kept = cop_cons(ctx, head, kept);
    }
    return cop_list_reverse(ctx, kept);
}

static bool ask_by_call(struct cop__port_frame *f, cop_pid pid, cop_ref ref, cop_term request) {
    cop_ctx *ctx = f->ctx;
    cop_pid fresh;
    cop_atom item;
    if (cop_match(request, cop_a(close))) {
        f->kind->close(f);
        if (!cop__port_is_ending(ctx))
            cop_send(ctx, pid, cop_tuple(ctx, ref, cop_a(true)));
        return true;
    }
    if (cop_match_tuple(request, cop_a(connect), &fresh)) {
        bool alive = cop__port_may_have(fresh);
        if (alive)
            connect_to(f, fresh);
        cop_send(ctx, pid, cop_tuple(ctx, ref, alive ? cop_a(true) : cop_a(badarg)));
        return true;
    }
    if (!cop_match_tuple(request, cop_a(info), &item))
        return false;
    cop_term value = cop_match(item.t, cop_a(all)) ? usual_items(f) : item_of(f, item);
    if (cop_match(item.t, cop_a(monitored_by)))
        value = without_one(ctx, value, pid);
    cop_send(ctx, pid, cop_tuple(ctx, ref, value));
    return true;
}

void cop__port_protocol(struct cop__port_frame *f, cop_term message) {
    cop_pid from;
    cop_ref ref;
    cop_term request, who;
    bool done = false;
    if (cop_match_tuple(message, &from, &request))
        done = from.t.w == f->owner.t.w && ask_as_owner(f, request);
    else if (cop_match_tuple(message, cop_as("$port"), &request))
        done = ask_plain(f, request);
    else if (cop_match_tuple(message, cop_a(system), &who, &request))
        done = cop_match_tuple(who, &from, &ref) && ask_by_call(f, from, ref, request);
    if (!done)
        cop_process_exit(f->ctx, f->owner, cop_a(badsig));
}

/* ---- the caller's side --------------------------------------------------------------------------------- */

/* COP_NONE when it is closed, or the name is not a port's; what cannot be one raises. */
static cop_term port_of(cop_ctx *ctx, cop_term port) {
    if (cop_is_atom(port)) {
        port = cop_process_whereis(ctx, (cop_atom){ port });
        return !cop_is_none(port) && cop_is_port(port) ? port : COP_NONE;
    }
    if (!cop_is_port(port))
        cop_error(ctx, cop_a(badarg));
    return cop__port_is_open((cop_port){ port }) ? port : COP_NONE;
}

/* The answer, or COP_NONE when the port has ended with `*reason`. */
static cop_term call(cop_ctx *ctx, cop_term port, cop_term request, cop_term *reason) {
    cop_ref ref = cop_port_monitor(ctx, port);
    cop_send(ctx, port, cop_tuple(ctx, cop_a(system), cop_tuple(ctx, cop_self(ctx), ref), request));
    cop_term message;
    cop_receive_ref(ctx, COP_INFINITY, ref, &message);
    cop_process_demonitor(ctx, ref, COP_DEMONITOR_FLUSH);
    if (cop_tuple_size(message) == 2)
        return cop_elem(message, 1);
    *reason = cop_elem(message, 4);
    return COP_NONE;
}

bool cop__port_command(cop_ctx *ctx, cop_term port, cop_term iodata, int flags) {
    port = port_of(ctx, port);
    if (cop_is_none(port) || (flags & ~(COP_PORT_NOSUSPEND | COP_PORT_FORCE)) != 0
        || cop_iodata_size(iodata) < 0)
        cop_error(ctx, cop_a(badarg));
    if (flags & COP_PORT_FORCE)
        cop_error(ctx, cop_a(notsup));
    if ((flags & COP_PORT_NOSUSPEND) && cop__port_is_busy((cop_port){ port }))
        return false;
    cop_send(ctx, port, cop_tuple(ctx, cop_as("$port"), cop_tuple(ctx, cop_a(command), iodata)));
    return true;
}

void cop__port_connect(cop_ctx *ctx, cop_term port, cop_pid owner) {
    cop_term reason;
    port = port_of(ctx, port);
    if (cop_is_none(port) || !cop_is_pid(owner.t)
        || !cop_match(call(ctx, port, cop_tuple(ctx, cop_a(connect), owner), &reason), cop_a(true)))
        cop_error(ctx, cop_a(badarg));
}

void cop__port_close_now(cop_ctx *ctx, cop_term port) {
    cop_term reason = COP_NONE;
    port = port_of(ctx, port);
    if (cop_is_none(port))
        cop_error(ctx, cop_a(badarg));
    call(ctx, port, cop_a(close).t, &reason);
    if (!cop_is_none(reason) && cop_match(reason, cop_a(noproc)))
        cop_error(ctx, cop_a(badarg));
}

cop_term cop__port_info(cop_ctx *ctx, cop_term port, cop_term item) {
    cop_term reason;
    port = port_of(ctx, port);
    if (cop_is_none(port))
        return COP_NONE;
    bool known = cop_match(item, cop_a(all));
    for (size_t i = 0; i < ITEMS && !known && cop_is_atom(item); i++)
        known = strcmp(items[i], cop_atom_name((cop_atom){ item }, NULL)) == 0;
    if (!known)
        cop_error(ctx, cop_a(badarg));
    return call(ctx, port, cop_tuple(ctx, cop_a(info), item), &reason);
}

bool cop_port_demonitor(cop_ctx *ctx, cop_ref ref, int flags) {
    return cop_process_demonitor(ctx, ref, flags);
}
