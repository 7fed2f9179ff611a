/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at processes: alive, info, list.
 *
 * Information about another process is a signal to it, answered between two of its steps by its own
 * runner; so it is exact, takes no lock, and comes after whatever the asker sent before. Answers are
 * built on a heap of their own, from a table with a function for each item.
 */
#include "os/symbol.h"
#include "proc/proc.h"

/* ---- relations, messages ----------------------------------------------------------------------------- */

static cop_term pids_of(cop_ctx *ctx, cop_ctx *p, enum cop__rel_kind kind) {
    cop_term list = COP_NIL;
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == kind)
            list = cop_cons(ctx, (cop_term){ kind == REL_LINK ? rel->key : rel->other }, list);
    return cop_list_reverse(ctx, list);
}

static cop_term item_links(cop_ctx *ctx, cop_ctx *p) { return pids_of(ctx, p, REL_LINK); }
static cop_term item_monitored_by(cop_ctx *ctx, cop_ctx *p) { return pids_of(ctx, p, REL_WATCHER); }

static cop_term item_monitors(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = COP_NIL;
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;) {
        if (rel->kind != REL_MONITOR)
            continue;
        cop_term object = { rel->other };
        cop_atom kind = cop__is_local_port(object) ? cop_a(port) : cop_a(process);
        if (rel->name != 0)
            object = cop_tuple(ctx, (cop_term){ rel->name }, cop_as("nonode@nohost"));
        list = cop_cons(ctx, cop_tuple(ctx, kind, object), list);
    }
    return cop_list_reverse(ctx, list);
}

/* {pid, suspends that work, suspends on their way}: on one node they are on their way for no time that
   the process could see. */
static cop_term item_suspending(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = COP_NIL;
    struct cop__rel *rel;
    for (uint32_t i = 0; (rel = cop__rel_at(&p->rels, &i)) != NULL;)
        if (rel->kind == REL_SUSPENDING)
            list = cop_cons(
                ctx,
                cop_tuple(ctx, (cop_term){ rel->key ^ COP__KEY_SUSPENDING }, (int64_t)rel->mine, 0),
                list);
    return cop_list_reverse(ctx, list);
}

static bool is_sensitive(const cop_ctx *p) { return p->extra != NULL && p->extra->sensitive; }

static cop_term item_messages(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = COP_NIL;
    for (struct cop__env *env = is_sensitive(p) ? NULL : p->queue; env != NULL; env = env->next)
        list = cop_cons(ctx, env->term, list);
    return cop_list_reverse(ctx, list);
}

static cop_term item_message_queue_len(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, p->queue_len);
}

static cop_term item_dictionary(cop_ctx *ctx, cop_ctx *p) {
    return is_sensitive(p) ? COP_NIL : cop__dictionary_list(ctx, p);
}

static cop_term dictionary_key(cop_ctx *ctx, cop_ctx *p, cop_term key) {
    cop_term value;
    return !is_sensitive(p) && cop__dictionary_get(ctx, p, key, &value) ? value
                                                                        : cop_a(undefined).t;
}

static cop_term item_label(cop_ctx *ctx, cop_ctx *p) {
    return dictionary_key(ctx, p, cop_as("$process_label").t);
}

/* ---- memory -------------------------------------------------------------------------------------------- */

/* Of the heap and of the messages that wait; what several of them refer to counts once. */
static size_t shared_bytes_of(const cop_ctx *p) {
    const struct cop__offbox **lists =
        cop__malloc(((size_t)p->queue_len + 1) * sizeof(const struct cop__offbox *));
    size_t n = 0;
    for (const struct cop__env *env = p->queue; env != NULL; env = env->next)
        if (env->frag.offheap != NULL)
            lists[n++] = env->frag.offheap;
    size_t bytes = cop__heap_shared_bytes(&p->heap, lists, n);
    cop__free(lists);
    return bytes;
}

/* What is used of the small region at the top of the stack. */
static size_t lent_bytes(const cop_ctx *p) {
    if (p->has_nursery)
        return 0;
    return (size_t)(cop__heap_region_top(&p->heap) - p->heap.young->region) * sizeof(uint64_t);
}

static size_t memory_of(cop_ctx *p) {
    size_t bytes = sizeof *p + sizeof(struct cop__slot) + p->state_size + cop__rel_bytes(&p->rels)
                   + cop__heap_words(&p->heap) * 8 + shared_bytes_of(p);
    for (struct cop__env *env = p->queue; env != NULL; env = env->next)
        bytes += sizeof *env + env->frag.words * 8;
    if (p->extra != NULL)
        bytes += sizeof *p->extra + p->extra->owned_bytes;
    if (p->life == LIFE_RAW)
        bytes += cop__vm_page_size() - lent_bytes(p); /* these are in that page */
    return bytes;
}

static size_t heap_words(const cop_ctx *p) {
    size_t words = cop__heap_words(&p->heap);
    return words < p->heap.min_words ? p->heap.min_words : words;
}

static cop_term item_memory(cop_ctx *ctx, cop_ctx *p) { return cop_of(ctx, memory_of(p)); }
static cop_term item_heap_size(cop_ctx *ctx, cop_ctx *p) { return cop_of(ctx, heap_words(p)); }
static cop_term item_total_heap_size(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, cop__total_words(p) < heap_words(p) ? heap_words(p) : cop__total_words(p));
}
static cop_term item_stack_size(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, p->life == LIFE_RAW ? cop__vm_page_size() / 8 : 0);
}
static cop_term item_min_heap_size(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, cop__min_heap_words(p));
}
static cop_term item_min_bin_vheap_size(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, p->extra != NULL && p->extra->min_bin_vheap_words != 0
                           ? p->extra->min_bin_vheap_words
                           : COP__MIN_BIN_VHEAP);
}
static cop_term item_fullsweep_after(cop_ctx *ctx, cop_ctx *p) {
    return cop_of(ctx, p->heap.fullsweep_after);
}
static cop_term item_max_heap_size(cop_ctx *ctx, cop_ctx *p) { return cop__max_heap_map(ctx, p); }
static cop_term item_max_queue(cop_ctx *ctx, cop_ctx *p) { return cop__max_queue_map(ctx, p); }
static cop_term item_message_queue_data(cop_ctx *ctx, cop_ctx *p) {
    return p->extra != NULL && p->extra->off_heap ? cop_a(off_heap).t : cop_a(on_heap).t;
}

static cop_term pair(cop_ctx *ctx, const char *key, cop_term value) {
    return cop_tuple(ctx, cop_atom_new(key), value);
}

static cop_term item_garbage_collection(cop_ctx *ctx, cop_ctx *p) {
    return cop_list(ctx, pair(ctx, "max_heap_size", item_max_heap_size(ctx, p)),
                    pair(ctx, "min_bin_vheap_size", item_min_bin_vheap_size(ctx, p)),
                    pair(ctx, "min_heap_size", item_min_heap_size(ctx, p)),
                    pair(ctx, "fullsweep_after", item_fullsweep_after(ctx, p)),
                    pair(ctx, "minor_gcs", cop_of(ctx, p->heap.since_full)));
}

/* Our generations by OTP's names: heap = young, old_heap = old, mbuf = adopted messages. */
static cop_term item_garbage_collection_info(cop_ctx *ctx, cop_ctx *p) {
    const struct cop__heap *h = &p->heap;
    size_t mbuf = 0, shared = cop__heap_shared_bytes(h, NULL, 0) / 8,
           young = heap_words(p) - h->old_words;
    for (const struct cop__fragment *f = h->young->fragments; f != NULL; f = f->next)
        mbuf += f->words;
    size_t used = h->young->blocks == NULL ? (size_t)(h->hp - h->young->region) : young;
    cop_term vheap = item_min_bin_vheap_size(ctx, p);
    return cop_list(ctx, pair(ctx, "old_heap_block_size", cop_of(ctx, h->old_words)),
                    pair(ctx, "heap_block_size", cop_of(ctx, young)),
                    pair(ctx, "mbuf_size", cop_of(ctx, (uint64_t)mbuf)),
                    pair(ctx, "recent_size", cop_of(ctx, h->young->words)),
                    pair(ctx, "stack_size", item_stack_size(ctx, p)),
                    pair(ctx, "old_heap_size", cop_of(ctx, h->old_live)),
                    pair(ctx, "heap_size", cop_of(ctx, (uint64_t)used)),
                    pair(ctx, "bin_vheap_size", cop_of(ctx, (uint64_t)shared)),
                    pair(ctx, "bin_vheap_block_size", vheap),
                    pair(ctx, "bin_old_vheap_size", cop_of(ctx, 0)),
                    pair(ctx, "bin_old_vheap_block_size", vheap));
}

static cop_term binaries(cop_ctx *ctx, const struct cop__offbox *box, cop_term list) {
    for (; box != NULL; box = box->next) {
        if (cop__header_kind(box->header) != BOX_SHARED)
            continue;
        const struct cop__shared *shared = box->shared;
        list = cop_cons(ctx,
                        cop_tuple(ctx, (uint64_t)(uintptr_t)shared, (uint64_t)shared->size,
                                  __atomic_load_n(&shared->count, __ATOMIC_RELAXED)),
                        list);
    }
    return list;
}

static cop_term item_binary(cop_ctx *ctx, cop_ctx *p) {
    cop_term list = binaries(ctx, p->heap.young->off, COP_NIL);
    list = binaries(ctx, p->heap.old_off, list);
    for (const struct cop__fragment *f = p->heap.young->fragments; f != NULL; f = f->next)
        list = binaries(ctx, f->offheap, list);
    return list;
}

/* ---- where it is ----------------------------------------------------------------------------------------- */

const char *cop__entry_name(const cop_ctx *p) {
    if (p->name_hint != NULL)
        return p->name_hint;
    if (p->life == LIFE_CALLBACK)
        return p->kind == KIND_PORT ? p->does.port->name : p->does.callbacks->name;
    return NULL;
}

/* "module:function/arity", or a plain name: {:c, name, 2} */
static cop_term function_term(cop_ctx *ctx, const char *name) {
    char module[128], function[128];
    int arity;
    if (sscanf(name, "%127[^:]:%127[^/]/%d", module, function, &arity) == 3)
        return cop_tuple(ctx, cop_atom_new(module), cop_atom_new(function), arity);
    return cop_tuple(ctx, cop_a(c), cop_atom_new(name), 2);
}

static cop_term item_initial_call(cop_ctx *ctx, cop_ctx *p) {
    cop_term mfa;
    if (p->name_hint == NULL && cop__initial_mfa(p, &mfa))
        return cop_is_none(mfa) ? cop_tuple(ctx, cop_a(erlang), cop_a(apply), 2)
                                : cop_tuple(ctx, cop_elem(mfa, 0), cop_elem(mfa, 1),
                                            cop_list_length(cop_elem(mfa, 2)));
    const char *name = cop__entry_name(p);
    struct cop__symbol symbol = { 0 };
    if (name == NULL && p->life != LIFE_CALLBACK && p->kind == KIND_PROCESS
        && cop__symbol_of((uintptr_t)p->does.entry, &symbol) && symbol.function[0] != '\0')
        name = symbol.function;
    return function_term(ctx, name != NULL ? name : "entry");
}

static const char *frame_name(cop_term frame) {
    return cop_atom_name((cop_atom){ cop_elem(frame, 1) }, NULL);
}

/* What is left of the trace after the innermost call into the run-time: a public function, cop_name, or
   what a macro of the public headers calls, cop__name; inside of it are names of all kinds. */
static cop_term after_run_time(cop_term trace) {
    cop_term after = trace;
    for (cop_term t = trace; cop_is_cons(t); t = cop_tail(t)) {
        const char *name = frame_name(cop_head(t));
        if (strncmp(name, "cop_", 4) != 0)
            continue;
        after = cop_tail(t);
        if (name[4] != '_')
            break;
    }
    return after;
}

/* The process's own frames, innermost first: without those of the call into the run-time in which it
   answers. Only of a process that has frames, and stands on them now. */
static cop_term item_current_stacktrace(cop_ctx *ctx, cop_ctx *p) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), pcs[32];
    if (p->kind != KIND_PROCESS || p->stack == NULL || here < (uintptr_t)p->stack->low
        || here >= (uintptr_t)p->stack)
        return COP_NIL;
    size_t n = cop__frames_walk((uintptr_t)__builtin_return_address(0), *(uintptr_t *)here,
                                (uintptr_t)p->stack->low, (uintptr_t)p->stack, pcs, 32);
    return after_run_time(cop__stacktrace(ctx, pcs, n));
}

static bool hibernates(const cop_ctx *p) {
    return p->life == LIFE_HIBERNATED || (p->life == LIFE_CALLBACK && p->hibernate_asked);
}

static cop_term item_current_location(cop_ctx *ctx, cop_ctx *p) {
    if (!hibernates(p)) {
        cop_term trace = item_current_stacktrace(ctx, p);
        if (cop_is_cons(trace))
            return cop_head(trace);
    }
    cop_term f = hibernates(p) ? cop_tuple(ctx, cop_a(erlang), cop_a(hibernate), 3)
                 : p->life == LIFE_CALLBACK && p->kind == KIND_PROCESS
                     ? function_term(ctx, p->does.callbacks->name)
                     : item_initial_call(ctx, p);
    return cop_tuple(ctx, cop_elem(f, 0), cop_elem(f, 1), cop_elem(f, 2), COP_NIL);
}

static cop_term item_current_function(cop_ctx *ctx, cop_ctx *p) {
    cop_term f = item_current_location(ctx, p);
    return cop_tuple(ctx, cop_elem(f, 0), cop_elem(f, 1), cop_elem(f, 2));
}

static cop_term item_backtrace(cop_ctx *ctx, cop_ctx *p) {
    char text[4096];
    size_t at = 0;
    cop_term trace = item_current_stacktrace(ctx, p), frame;
    if (!cop_is_cons(trace))
        trace = cop_list(ctx, item_current_location(ctx, p));
    while (cop_get_cons(trace, &frame, &trace) && at < sizeof text - 1) {
        at += cop_inspect_to(text + at, sizeof text - at - 1, frame, NULL);
        if (at > sizeof text - 2)
            at = sizeof text - 2;
        text[at++] = '\n';
    }
    return cop_binary(ctx, text, at);
}

static cop_term item_catchlevel(cop_ctx *ctx, cop_ctx *p) {
    int64_t n = 0;
    for (const struct cop__try *t = p->tries; t != NULL; t = t->outer)
        n++;
    return cop_of(ctx, n);
}

/* ---- the rest -------------------------------------------------------------------------------------------- */

static cop_term item_registered_name(cop_ctx *ctx, cop_ctx *p) {
    return p->slot->name == 0 ? COP_NIL : (cop_term){ p->slot->name };
}

static cop_term item_status(cop_ctx *ctx, cop_ctx *p) {
    return p == ctx       ? cop_a(running).t
           : p->exiting   ? cop_a(exiting).t
           : p->suspended ? cop_a(suspended).t
           : p->idle      ? cop_a(waiting).t
                          : cop_a(runnable).t;
}

static cop_term item_trap_exit(cop_ctx *ctx, cop_ctx *p) { return cop_bool(p->trap_exit).t; }
static cop_term item_group_leader(cop_ctx *ctx, cop_ctx *p) { return cop__leader_of(p); }
static cop_term item_reductions(cop_ctx *ctx, cop_ctx *p) { return cop_of(ctx, p->reductions); }

static cop_term item_priority(cop_ctx *ctx, cop_ctx *p) {
    switch ((cop_priority)p->priority) {
    case COP_PRIORITY_LOW:
        return cop_a(low).t;
    case COP_PRIORITY_HIGH:
        return cop_a(high).t;
    case COP_PRIORITY_MAX:
        return cop_a(max).t;
    case COP_PRIORITY_NORMAL:
        break;
    }
    return cop_a(normal).t;
}

static cop_term item_error_handler(cop_ctx *ctx, cop_ctx *p) {
    return p->extra != NULL && !cop_is_none(p->extra->error_handler.t) ? p->extra->error_handler.t
                                                                       : cop_a(error_handler).t;
}

static cop_term item_parent(cop_ctx *ctx, cop_ctx *p) {
    return cop_is_none(p->parent) ? cop_a(undefined).t : p->parent;
}

static cop_term item_async_dist(cop_ctx *ctx, cop_ctx *p) {
    return cop_bool(p->extra != NULL && p->extra->async_dist).t;
}

/* Calls of C functions leave no trace that could be saved. */
static cop_term item_last_calls(cop_ctx *ctx, cop_ctx *p) {
    return p->extra != NULL && p->extra->save_calls != 0 ? COP_NIL : cop_a(false).t;
}

static cop_term item_none(cop_ctx *ctx, cop_ctx *p) { return COP_NIL; }
static cop_term item_trace(cop_ctx *ctx, cop_ctx *p) { return cop_of(ctx, 0); }

/* Those of Process.info/1 first, in its order. */
static const struct item {
    const char *name;
    cop_term (*value)(cop_ctx *ctx, cop_ctx *p);
} items[] = {
    { "registered_name", item_registered_name },
    { "current_function", item_current_function },
    { "initial_call", item_initial_call },
    { "status", item_status },
    { "message_queue_len", item_message_queue_len },
    { "links", item_links },
    { "dictionary", item_dictionary },
    { "trap_exit", item_trap_exit },
    { "error_handler", item_error_handler },
    { "priority", item_priority },
    { "group_leader", item_group_leader },
    { "total_heap_size", item_total_heap_size },
    { "heap_size", item_heap_size },
    { "stack_size", item_stack_size },
    { "reductions", item_reductions },
    { "garbage_collection", item_garbage_collection },
    { "suspending", item_suspending },
    { "current_location", item_current_location },
    { "current_stacktrace", item_current_stacktrace },
    { "messages", item_messages },
    { "monitors", item_monitors },
    { "monitored_by", item_monitored_by },
    { "min_heap_size", item_min_heap_size },
    { "min_bin_vheap_size", item_min_bin_vheap_size },
    { "fullsweep_after", item_fullsweep_after },
    { "memory", item_memory },
    { "garbage_collection_info", item_garbage_collection_info },
    { "max_heap_size", item_max_heap_size },
    { "max_queue", item_max_queue },
    { "message_queue_data", item_message_queue_data },
    { "async_dist", item_async_dist },
    { "parent", item_parent },
    { "binary", item_binary },
    { "backtrace", item_backtrace },
    { "catchlevel", item_catchlevel },
    { "last_calls", item_last_calls },
    { "sequential_trace_token", item_none },
    { "trace", item_trace },
    { "magic_ref", item_none },
    { "label", item_label },
};
enum { ITEMS = sizeof items / sizeof *items, USUAL = 17 };

static const struct item *find_item(cop_term name) {
    if (!cop_is_atom(name))
        return NULL;
    const char *text = cop_atom_name((cop_atom){ name }, NULL);
    for (size_t i = 0; i < ITEMS; i++)
        if (strcmp(text, items[i].name) == 0)
            return &items[i];
    return NULL;
}

static bool is_known(cop_term item) {
    cop_term key;
    return find_item(item) != NULL || cop_match_tuple(item, cop_a(dictionary), &key);
}

/* Bytes of the messages from `sender` that wait. */
static size_t unread_of(const cop_ctx *p, cop_term sender) {
    size_t bytes = 0;
    for (const struct cop__env *env = p->queue; env != NULL; env = env->next) {
        if (env->kind != SIG_MESSAGE || env->from.w != sender.w)
            continue;
        bytes += sizeof *env + env->frag.words * sizeof(uint64_t);
        for (const struct cop__offbox *box = env->frag.offheap; box != NULL; box = box->next)
            if (cop__header_kind(box->header) == BOX_SHARED)
                bytes += ((const struct cop__shared *)box->shared)->size;
    }
    return bytes;
}

static cop_term value_of(cop_ctx *ctx, cop_ctx *p, cop_term item) {
    cop_term key;
    cop_port port;
    if (cop_match_tuple(item, cop_a(unread), &port)) /* a port asks */
        return cop_of(ctx, unread_of(p, port.t));
    int64_t calls;
    if (cop_match_tuple(item, cop_a(dictionary), &key))
        return dictionary_key(ctx, p, key);
    if (cop_match_tuple(item, cop_a(save_calls), &calls)) { /* Process.flag/3 */
        struct cop__extra *extra = cop__extra_of(p);
        int64_t old = extra->save_calls;
        extra->save_calls = (uint32_t)calls;
        return cop_of(ctx, old);
    }
    return find_item(item)->value(ctx, p);
}

cop_term cop__info_answer(cop_ctx *ctx, cop_ctx *p, cop_term what) {
    if (!cop_is_cons(what))
        return value_of(ctx, p, what);
    cop_term list = COP_NIL, item;
    while (cop_get_cons(what, &item, &what))
        list = cop_cons(ctx, cop_tuple(ctx, item, value_of(ctx, p, item)), list);
    return cop_list_reverse(ctx, list);
}

/* ---- asking ------------------------------------------------------------------------------------------------ */

cop_term cop__ask(cop_ctx *ctx, enum cop__signal kind, cop_term pid, cop_term what) {
    cop_ref ref = cop__ref_next(ctx);
    struct cop__scratch scratch;
    cop_ctx *c = cop__scratch_open(&scratch);
    cop__deliver(ctx->worker, cop__env_new(kind, pid, ctx->pid, cop_cons(c, ref.t, what)));
    cop__scratch_close(&scratch);
    cop__leave(ctx);
    cop_term reply;
    cop_receive_ref(ctx, COP_INFINITY, ref, &reply);
    cop__enter(ctx);
    cop_term value = cop_elem(reply, 1);
    return cop_is_tuple(value) ? cop_elem(value, 0) : COP_NONE;
}

static bool is_quiet(struct cop__slot *slot) {
    uintptr_t inbox = __atomic_load_n(&slot->inbox, __ATOMIC_ACQUIRE);
    return inbox == INBOX_PARKED || inbox == INBOX_FREE;
}

bool cop_process_is_alive(cop_ctx *ctx, cop_pid pid) {
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    if (pid.t.w == ctx->pid.w)
        return true;
    cop__enter(ctx);
    bool alive = cop__is_here(pid.t);
    /* Signals may be on their way to it, ours among them: then only it can say. */
    if (alive && !is_quiet(cop__slot_of(pid.t)))
        alive = !cop_is_none(cop__ask(ctx, SIG_INFO, pid.t, cop_a(priority).t));
    cop__leave(ctx);
    return alive;
}

static cop_term info(cop_ctx *ctx, cop_pid pid, cop_term what) {
    cop__enter(ctx);
    cop_term value;
    if (pid.t.w == ctx->pid.w) {
        cop__take_in(ctx);
        cop__check_exit(ctx);
        value = cop__info_answer(ctx, ctx, what);
    } else {
        value = cop__ask(ctx, SIG_INFO, pid.t, what);
    }
    cop__leave(ctx);
    return value;
}

cop_term cop__process_info(cop_ctx *ctx, cop_pid pid, cop_term item) {
    if (!is_known(item) || !cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    return info(ctx, pid, item);
}

cop_term cop_process_info_list(cop_ctx *ctx, cop_pid pid, cop_term wanted) {
    cop_term rest = wanted, item;
    if (!cop__is_local_pid(pid.t))
        cop__badarg(ctx);
    while (cop_get_cons(rest, &item, &rest))
        if (!is_known(item))
            cop__badarg(ctx);
    if (!cop_is_nil(rest))
        cop__badarg(ctx);
    if (cop_is_nil(wanted))
        return cop_process_is_alive(ctx, pid) ? COP_NIL : COP_NONE;
    return info(ctx, pid, wanted);
}

cop_term cop_process_info_all(cop_ctx *ctx, cop_pid pid) {
    cop_term list = COP_NIL;
    for (size_t i = USUAL; i > 0; i--)
        list = cop_cons(ctx, cop_atom_new(items[i - 1].name), list);
    list = cop_process_info_list(ctx, pid, list);
    if (cop_is_none(list) || cop_is_atom(cop_elem(cop_head(list), 1)))
        return list;
    return cop_tail(list); /* registered_name is there only when there is one */
}

cop_term cop_process_list(cop_ctx *ctx) {
    cop_term list = COP_NIL;
    for (uint32_t i = __atomic_load_n(&cop__node.slot_top, __ATOMIC_ACQUIRE); i > 0; i--) {
        cop_term pid = { __atomic_load_n(&cop__node.slots[i - 1].pid, __ATOMIC_ACQUIRE) };
        if (cop__is_local_pid(pid))
            list = cop_cons(ctx, pid, list);
    }
    return list;
}

size_t cop_node_port_count(void) { return __atomic_load_n(&cop__node.ports, __ATOMIC_RELAXED); }

size_t cop_node_process_count(void) {
    return __atomic_load_n(&cop__node.processes, __ATOMIC_RELAXED);
}
