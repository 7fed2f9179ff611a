/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The producer: reads the file as fast as lines are asked for, and not faster.
 *
 * Lines that are not finished yet are held, as views into the blocks they were read in, so that they can be sent
 * again:
 *
 *     | finished, forgotten | low ... on their way ... high | not read yet |
 *                                  ^ again .. again_end
 *
 * When a parser ends, all that is on its way and not finished is sent again, from `again` on, before
 * anything new is read. Some of these lines are with other parsers; the ledger lets one copy through. The
 * line that the parser had on its desk is blamed for its end, unless somebody else has killed it.
 *
 * Invariants
 *   1. low <= again <= again_end <= high <= low + LEDGER_WINDOW.
 *   2. Each line from low to high - 1 is held, and open in the ledger.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"
#include "reader.h"

enum { BATCH_MAX = 4096, LOOK_AGAIN_MS = 2, PARSERS_MAX = 64 };

struct held {
    const uint8_t *text;
    size_t size;
    struct block *block;
};

/* Owned by the process, freed however it ends. */
struct file {
    struct reader *reader;
    struct held held[LEDGER_WINDOW];
};

struct source {
    const struct flow *flow;
    struct file *file;
    int64_t low, high, again, again_end;
    int64_t demand;
    bool end, waits;
    struct {
        cop_pid pid;
        unsigned desk;
    } parsers[PARSERS_MAX];
    int parser_count;
};

static void file_free(void *object) {
    struct file *f = object;
    for (size_t i = 0; i < LEDGER_WINDOW; i++)
        block_release(f->held[i].block);
    reader_close(f->reader);
    free(f);
}

static struct held *held_at(struct source *s, int64_t line) {
    return &s->file->held[(uint64_t)line % LEDGER_WINDOW];
}

static void failed(cop_ctx *ctx, struct source *s, int error) {
    const char *why = error == -EBADMSG ? "damaged gzip data" : cop_strerror(error);
    cop_send(ctx, s->flow->collector, cop_tuple(ctx, cop_a(failed), why));
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

static void forget_finished(struct source *s) {
    for (; s->low < s->high && ledger_is_finished(s->flow->ledger, s->low); s->low++) {
        block_release(held_at(s, s->low)->block);
        held_at(s, s->low)->block = NULL;
    }
    if (s->again < s->low)
        s->again = s->low;
    if (s->again_end < s->again)
        s->again_end = s->again;
}

/* One line more from the file; false at its end, or when too many are on their way. */
static bool read_line(cop_ctx *ctx, struct source *s) {
    if (s->end || s->high - s->low == LEDGER_WINDOW)
        return false;
    struct held *held = held_at(s, s->high);
    int rc = reader_next(s->file->reader, &held->text, &held->size, &held->block);
    if (rc <= 0) {
        held->block = NULL;
        s->end = true;
        if (rc < 0)
            failed(ctx, s, rc);
        cop_send(ctx, s->flow->collector, cop_tuple(ctx, cop_a(end), s->high));
        return false;
    }
    block_hold(held->block);
    ledger_open(s->flow->ledger, s->high++);
    return true;
}

/* The next line to be sent: one that is sent again, or a new one; -1 if there is none now. */
static int64_t next_line(cop_ctx *ctx, struct source *s) {
    while (s->again < s->again_end) {
        int64_t line = s->again++;
        if (!ledger_is_finished(s->flow->ledger, line))
            return line;
    }
    return read_line(ctx, s) ? s->high - 1 : -1;
}

static cop_term line_event(cop_ctx *ctx, struct source *s, int64_t line) {
    const struct held *held = held_at(s, line);
    return cop_tuple(ctx, line, cop_binary(ctx, held->text, held->size));
}

static void look_again(cop_ctx *ctx, struct source *s, int64_t ms) {
    if (!s->waits)
        cop_process_send_after(ctx, cop_self(ctx), cop_a(look_again), ms);
    s->waits = true;
}

/* As many lines as are asked for and there. */
static cop_stage_next emit(cop_ctx *ctx, struct source *s) {
    cop_events events;
    size_t room = s->demand < BATCH_MAX ? (size_t)s->demand : BATCH_MAX, n = 0;
    cop_term *at = cop_events_new(ctx, room, &events);
    forget_finished(s);
    for (int64_t line; n < room && (line = next_line(ctx, s)) >= 0; n++)
        at[n] = line_event(ctx, s, line);
    s->demand -= (int64_t)n;
    if (s->demand > 0 && (!s->end || s->again < s->again_end)) /* a full batch, or a full ledger */
        look_again(ctx, s, n == room ? 0 : LOOK_AGAIN_MS);
    return cop_stage_emit(cop_events_take(events, n));
}

/* ---- callbacks ---------------------------------------------------------------------------------------------- */

static cop_stage_init source_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct source *s = state;
    s->flow = flow_of(arg);
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return cop_stage_init_stop(cop_a(system_limit));
    file->reader = reader_open(s->flow->path);
    if (file->reader == NULL) {
        int error = errno;
        free(file);
        return cop_stage_init_stop(cop_of(ctx, cop_strerror(-error)));
    }
    s->file = cop_own(ctx, file, file_free);
    return cop_stage_producer(.buffer_size = LEDGER_WINDOW);
}

static cop_stage_next source_demand(cop_ctx *ctx, void *state, int64_t demand) {
    struct source *s = state;
    s->demand += demand;
    return emit(ctx, s);
}

static cop_stage_next source_info(cop_ctx *ctx, void *state, cop_term message) {
    struct source *s = state;
    if (!cop_match(message, cop_a(look_again)))
        return cop_stage_noreply();
    s->waits = false;
    return emit(ctx, s);
}

static cop_stage_subscribed source_subscribe(cop_ctx *ctx, void *state, cop_stage_kind other,
                                             cop_term opts, cop_from from) {
    struct source *s = state;
    cop_term option, tag;
    cop_pid pid;
    int64_t desk = -1;
    while (cop_get_cons(opts, &option, &opts))
        cop_match_tuple(option, cop_a(desk), &desk);
    if (desk < 0 || !cop_match_tuple(from.t, &pid, &tag) || s->parser_count == PARSERS_MAX)
        return cop_stage_subscribe_stop(cop_a(bad_subscription));
    s->parsers[s->parser_count].pid = pid;
    s->parsers[s->parser_count++].desk = (unsigned)desk;
    return cop_stage_automatic();
}

/* Which line did it work on? -1 if on none. */
static int64_t leave_desk(struct source *s, cop_pid pid) {
    for (int i = 0; i < s->parser_count; i++)
        if (s->parsers[i].pid.t.w == pid.t.w) {
            unsigned desk = s->parsers[i].desk;
            s->parsers[i] = s->parsers[--s->parser_count];
            return ledger_worked_on(s->flow->ledger, desk);
        }
    return -1;
}

static cop_stage_next source_cancel(cop_ctx *ctx, void *state, cop_term why, cop_from from) {
    struct source *s = state;
    cop_pid pid;
    cop_term tag, how, reason;
    if (!cop_match_tuple(from.t, &pid, &tag) || !cop_match_tuple(why, &how, &reason))
        return cop_stage_noreply();
    int64_t line = leave_desk(s, pid);
    bool is_to_blame = !cop_reason_is_normal(reason) && !cop_match(reason, cop_a(killed));
    if (is_to_blame && line >= s->low && !ledger_mark(s->flow->ledger, line, LINE_CRASHED))
        ledger_mark(s->flow->ledger, line, LINE_POISON);
    s->again = s->low;
    s->again_end = s->high;
    cop_send(ctx, s->flow->collector, cop_tuple(ctx, cop_a(crashed), line, reason));
    look_again(ctx, s,
               0); /* not from here: until this returns, the dead one is still sent events */
    return cop_stage_noreply();
}

static const cop_gen_stage source = {
    .name = "LogFlow.Source",
    .state_size = sizeof(struct source),
    .init = source_init,
    .handle_demand = source_demand,
    .handle_info = source_info,
    .handle_subscribe = source_subscribe,
    .handle_cancel = source_cancel,
};

cop_started source_start_link(cop_ctx *ctx, cop_term arg) {
    return cop_gen_stage_start_link(ctx, &source, arg, &(cop_start_opts){ .name = SOURCE });
}
