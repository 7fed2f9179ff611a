/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GenStage.PartitionDispatcher: a hash says to which partition an event belongs.
 *
 * A partition is an entry of an array. It has a consumer or none, and either a demand, or, when more came
 * than its consumer had asked for, a queue (which may be empty: the demand was used up exactly).
 * `waiting` is the demand of all partitions together that the producer's next events will use up;
 * `pending` is demand that consumers have left behind, which the producer will still deliver for.
 *
 * A dispatch hashes events while `waiting` lasts, and sorts them by partition (a counting sort, so their
 * order stays): each partition then gets its events in one message.
 *
 *     events    e1 e2 e3 e4 e5     hash -> 1 0 1 none 0
 *     sorted    e2 e5 | e1 e3
 *
 * A hash is a fun, which may put another event in the place of one, or a C function, which gives the
 * partition's index and needs no terms.
 *
 * The queues stand in a map by the partition's index, each as the tuple of a cop_queue's words; only
 * partitions that have events waiting are in it. A message of info is a mark in each partition that has
 * a queue: a place in it, counted from the queue's first event ever. It is sent when it has left all of
 * them; how many there still are is counted in `infos`.
 *
 * Invariants
 *   1. A partition without a consumer has demand 0 or a queue.
 *   2. Marks of one partition stand in the order of their places, none before `taken`.
 *   3. An info is in use as long as marks of it are left.
 * Threads: the stage's process.
 */
#include <coppice/enum.h>
#include <string.h>

#include "dispatch.h"

struct mark {
    uint64_t place;
    uint32_t info;
};

struct partition {
    bool has_consumer, has_queue;
    int64_t demand; /* 0 with a queue */
    struct held pid, tag;
    uint64_t taken, put; /* events that left the queue, and came to it, ever */
    struct mark *marks;
    uint32_t mark_count, mark_cap;
    size_t from, to; /* its part of the events that are sorted just now */
};

struct info {
    struct held message;
    uint32_t marks; /* 0: free */
};

struct partitions {
    cop_term names;   /* a tuple, by index; COP_NONE: 0 .. count - 1 */
    cop_term indexes; /* name -> index; COP_NONE likewise */
    cop_term by_tag;  /* tag -> index */
    cop_term queues;  /* index -> words of a cop_queue */
    cop_term hash;    /* a fun; COP_NONE: phash2 */
    cop_term tag;
    cop_partition_of place; /* what the fun is made of, if it is a C function */
    struct partition *at;
    size_t count;
    bool refuses; /* a bad subscription, and goes on */
    int64_t waiting, pending;
    struct info *infos;
    uint32_t info_cap;
    size_t room;     /* of the following two */
    cop_term *terms; /* sorted, and before that what a fun has returned: 2 * room */
    uint32_t *where;
};
enum { PARTITION_TERMS = 6 };

/* ---- names ------------------------------------------------------------------------------------------ */

static cop_term name_of(cop_ctx *ctx, const struct partitions *self, size_t i) {
    return cop_is_none(self->names) ? cop_of(ctx, (int64_t)i) : cop_elem(self->names, i);
}

static inline bool index_of(const struct partitions *self, cop_term name, size_t *out) {
    cop_term found;
    int64_t i;
    if (cop_is_none(
            self->names)) { /* a small integer is in its word; a negative one becomes too large */
        *out = (size_t)(name.w >> 4);
        return cop_is_small(name) && *out < self->count;
    }
    if (!cop_map_get(self->indexes, name, &found) || !cop_get_i64(found, &i))
        return false;
    *out = (size_t)i;
    return true;
}

/* As Elixir shows the keys of its map of partitions. */
static cop_term all_names(cop_ctx *ctx, const struct partitions *self) {
    cop_term map = cop_map(ctx);
    for (size_t i = 0; i < self->count; i++)
        map = cop_map_put(ctx, map, name_of(ctx, self, i), COP_NIL);
    return cop_map_keys(ctx, map);
}

static const char *text_of(cop_ctx *ctx, cop_term t) {
    cop_bytes bytes;
    cop_get_bytes(cop_inspect(ctx, t, NULL), &bytes);
    cop_get_bytes(cop_format(ctx, "%.*s%c", (int)bytes.size, (const char *)bytes.data, 0), &bytes);
    return (const char *)bytes.data;
}

/* ---- init ------------------------------------------------------------------------------------------- */

static void names_from(cop_ctx *ctx, struct partitions *self, cop_term names) {
    cop_term inner, name, old;
    int64_t n = 0;
    if (cop_is_struct(names, cop_as("Elixir.MapSet")) && cop_map_get(names, cop_a(map).t, &inner))
        names = cop_map_keys(ctx, inner);
    self->indexes = cop_map(ctx);
    cop_term list = COP_NIL;
    for (cop_enum e = cop_enum_open(ctx, names); cop_enum_next(ctx, &e, &name);) {
        if (cop_map_get(self->indexes, name, &old))
            continue;
        self->indexes = cop_map_put(ctx, self->indexes, name, cop_of(ctx, n));
        list = cop_list_tail(ctx, name, list);
        n++;
    }
    cop_events all;
    cop_events_from_list(ctx, cop_list_reverse(ctx, list), &all);
    self->names = cop_tuple_n(ctx, all.count, all.at);
    self->count = (size_t)n;
}

static bool all_integers(const struct partitions *self) {
    for (size_t i = 0; !cop_is_none(self->names) && i < self->count; i++)
        if (!cop_is_integer(cop_elem(self->names, i)))
            return false;
    return true;
}

/* What cop_partition_hash makes, called as a fun. */
static cop_term placed(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    uint64_t address = 0;
    cop_match(env, &address);
    int64_t place = ((cop_partition_of)(uintptr_t)address)(ctx, argv[0]);
    return place == COP_NO_PARTITION ? cop_a(none).t : cop_tuple(ctx, argv[0], place);
}

cop_term cop_partition_hash(cop_ctx *ctx, cop_partition_of place) {
    return cop_fun(ctx, placed, 1, cop_of(ctx, (uint64_t)(uintptr_t)place));
}

/* The C function that a hash is made of; NULL: none. */
static cop_partition_of place_of(cop_term hash) {
    cop_fun_body body;
    size_t arity;
    cop_term env;
    uint64_t address;
    if (!cop_get_fun(hash, &body, &arity, &env) || body != placed || !cop_match(env, &address))
        return NULL;
    return (cop_partition_of)(uintptr_t)address;
}

static void partition_init(cop_ctx *ctx, void *state, cop_term opts) {
    struct partitions *self = state;
    cop_term names = dispatch_option(opts, cop_a(partitions));
    cop_term hash = dispatch_option(opts, cop_a(hash));
    int64_t n;
    if (cop_is_none(names) || cop_match(names, cop_a(nil)))
        cop_raise(ctx, "ArgumentError",
                  "the enumerable of :partitions is required when using the partition dispatcher");
    if (!cop_is_integer(names))
        names_from(ctx, self, names);
    else if (cop_get_i64(names, &n) && n > 0 && n <= UINT32_MAX)
        self->count = (size_t)n;
    else
        dispatch_bad(ctx, "expected :partitions to be a positive integer, got: ", names);
    if (self->count == 0)
        dispatch_bad(ctx, "expected :partitions to have one partition at least, got: ", names);
    if (!cop_is_none(hash) && cop_fun_arity(hash) != 1)
        dispatch_bad(ctx, "expected :hash to be a unary function, got: ", hash);
    if (cop_is_none(hash) && !all_integers(self))
        cop_raise(ctx, "ArgumentError",
                  "when :partitions contains partitions that are not integers, you have to pass in "
                  "the :hash option as well");
    cop_term bad = dispatch_option(opts, cop_a(bad_subscription));
    self->refuses = cop_match(bad, cop_a(refuse));
    if (!cop_is_none(bad) && !self->refuses && !cop_match(bad, cop_a(raise)))
        dispatch_bad(ctx, "expected :bad_subscription to be one of [:raise, :refuse], got: ", bad);
    self->hash = hash;
    self->place = place_of(hash);
    self->tag = cop_make_ref(ctx).t;
    self->by_tag = cop_map(ctx);
    self->queues = cop_map(ctx);
    self->at = cop_alloc(ctx, self->count * sizeof *self->at);
}

/* ---- queues ----------------------------------------------------------------------------------------- */

static cop_queue queue_of(cop_ctx *ctx, const struct partitions *self, size_t i) {
    cop_queue queue = { 0 };
    cop_term words;
    if (cop_map_get(self->queues, cop_of(ctx, (int64_t)i), &words))
        queue = (cop_queue){ cop_elem(words, 0), cop_elem(words, 1), cop_elem(words, 2),
                             cop_elem(words, 3) };
    return queue;
}

static void set_queue(cop_ctx *ctx, struct partitions *self, size_t i, const cop_queue *queue) {
    cop_term key = cop_of(ctx, (int64_t)i);
    self->queues =
        cop_queue_count(queue) == 0
            ? cop_map_remove(ctx, self->queues, key)
            : cop_map_put(ctx, self->queues, key,
                          cop_tuple(ctx, queue->front, queue->back, queue->at, queue->count));
}

static void enqueue(cop_ctx *ctx, struct partitions *self, size_t i, cop_events events) {
    struct partition *p = &self->at[i];
    p->has_queue = true;
    p->demand = 0;
    if (events.count == 0)
        return;
    cop_queue queue = queue_of(ctx, self, i);
    cop_queue_push(ctx, &queue, events);
    set_queue(ctx, self, i, &queue);
    p->put += events.count;
}

static void send_to(cop_ctx *ctx, const struct partition *p, cop_events events) {
    dispatch_events(ctx, held_term(ctx, &p->pid), held_term(ctx, &p->tag), events);
}

/* ---- info ------------------------------------------------------------------------------------------- */

static uint32_t info_new(cop_ctx *ctx, struct partitions *self, cop_term message) {
    uint32_t i = 0;
    while (i < self->info_cap && self->infos[i].marks > 0)
        i++;
    if (i == self->info_cap) {
        uint32_t cap = self->info_cap == 0 ? 4 : 2 * self->info_cap;
        self->infos = cop_realloc(ctx, self->infos, cap * sizeof *self->infos);
        memset(self->infos + i, 0, (cap - i) * sizeof *self->infos);
        self->info_cap = cap;
    }
    self->infos[i].message = held_new(ctx, message);
    return i;
}

static void mark_put(cop_ctx *ctx, struct partition *p, uint32_t info) {
    if (p->mark_count == p->mark_cap) {
        p->mark_cap = p->mark_cap == 0 ? 4 : 2 * p->mark_cap;
        p->marks = cop_realloc(ctx, p->marks, p->mark_cap * sizeof *p->marks);
    }
    p->marks[p->mark_count++] = (struct mark){ p->put, info };
}

static void partition_info(cop_ctx *ctx, void *state, cop_term message) {
    struct partitions *self = state;
    uint32_t info = UINT32_MAX;
    for (size_t i = 0; i < self->count; i++) {
        if (!self->at[i].has_queue)
            continue;
        if (info == UINT32_MAX)
            info = info_new(ctx, self, message);
        mark_put(ctx, &self->at[i], info);
        self->infos[info].marks++;
    }
    if (info == UINT32_MAX)
        cop_send(ctx, cop_self(ctx), message);
}

/* The first n marks have left the partition's queue. */
static void marks_leave(cop_ctx *ctx, struct partitions *self, struct partition *p, uint32_t n) {
    if (n == 0)
        return;
    for (uint32_t k = 0; k < n; k++) {
        struct info *info = &self->infos[p->marks[k].info];
        if (--info->marks > 0)
            continue;
        cop_send(ctx, cop_self(ctx), held_term(ctx, &info->message));
        held_forget(ctx, &info->message);
    }
    p->mark_count -= n;
    memmove(p->marks, p->marks + n, p->mark_count * sizeof *p->marks);
}

/* ---- subscriptions ---------------------------------------------------------------------------------- */

/* What is wrong with a subscription: ends the producer, as in GenStage, or only the subscription. */
static cop_subscribed bad_subscription(cop_ctx *ctx, const struct partitions *self, cop_term text) {
    if (self->refuses)
        return cop_subscribe_error(cop_tuple(ctx, cop_a(bad_opts), text));
    cop_bytes bytes = { 0 };
    cop_get_bytes(text, &bytes);
    cop_raise(ctx, "ArgumentError", "%.*s", (int)bytes.size, (const char *)bytes.data);
}

static cop_subscribed partition_subscribe(cop_ctx *ctx, void *state, cop_term opts, cop_from from) {
    struct partitions *self = state;
    cop_term pid, tag, name = dispatch_option(opts, cop_a(partition));
    bool is_nil = cop_is_none(name) || cop_match(name, cop_a(nil));
    size_t i;
    from_parts(ctx, from, &pid, &tag);
    if (is_nil)
        name = cop_a(nil).t;
    if (!index_of(self, name, &i) && is_nil)
        return bad_subscription(ctx, self,
                                cop_of(ctx, "the :partition option is required when subscribing to "
                                            "a producer with partition dispatcher"));
    if (!index_of(self, name, &i))
        return bad_subscription(ctx, self,
                                cop_format(ctx, ":partition must be one of %s, got: %s",
                                           text_of(ctx, all_names(ctx, self)), text_of(ctx, name)));
    struct partition *p = &self->at[i];
    if (p->has_consumer)
        return bad_subscription(ctx, self,
                                cop_format(ctx, "the partition %s is already taken by %s",
                                           text_of(ctx, name),
                                           text_of(ctx, held_term(ctx, &p->pid))));
    p->has_consumer = true;
    p->pid = held_new(ctx, pid);
    p->tag = held_new(ctx, tag);
    self->by_tag = cop_map_put(ctx, self->by_tag, tag, cop_of(ctx, (int64_t)i));
    return cop_subscribe_ok(0);
}

static struct partition *partition_of(const struct partitions *self, cop_term tag, size_t *i) {
    cop_term found;
    int64_t index;
    if (!cop_map_get(self->by_tag, tag, &found) || !cop_get_i64(found, &index))
        return NULL;
    *i = (size_t)index;
    return &self->at[*i];
}

static int64_t partition_cancel(cop_ctx *ctx, void *state, cop_from from) {
    struct partitions *self = state;
    cop_term pid, tag;
    size_t i;
    from_parts(ctx, from, &pid, &tag);
    struct partition *p = partition_of(self, tag, &i);
    if (p == NULL)
        return 0;
    self->by_tag = cop_map_remove(ctx, self->by_tag, tag);
    held_forget(ctx, &p->pid);
    held_forget(ctx, &p->tag);
    p->has_consumer = false;
    if (!p->has_queue) {
        self->pending = demand_sum(self->pending, p->demand);
        p->demand = 0;
        return 0;
    }
    int64_t dropped = (int64_t)(p->put - p->taken);
    p->has_queue = false;
    p->taken = p->put;
    self->queues = cop_map_remove(ctx, self->queues, cop_of(ctx, (int64_t)i));
    marks_leave(ctx, self, p, p->mark_count);
    self->waiting = demand_sum(self->waiting, dropped);
    return dropped;
}

/* Sends up to n events of the queue, one message per run between marks. Returns what is left of n: above
   0 the queue is used up, and gone. A mark leaves when there is demand behind it. */
static int64_t serve_queue(cop_ctx *ctx, struct partitions *self, size_t i, int64_t n) {
    struct partition *p = &self->at[i];
    cop_queue queue = queue_of(ctx, self, i);
    while (n > 0) {
        uint64_t end = p->mark_count > 0 ? p->marks[0].place : p->put;
        uint64_t now = end - p->taken < (uint64_t)n ? end - p->taken : (uint64_t)n;
        if (now > 0)
            send_to(ctx, p, cop_queue_take(ctx, &queue, now));
        p->taken += now;
        n -= (int64_t)now;
        if (n > 0 && p->mark_count > 0)
            marks_leave(ctx, self, p, 1);
        else if (p->taken == p->put)
            break;
    }
    set_queue(ctx, self, i, &queue);
    p->has_queue = n == 0;
    return n;
}

static int64_t partition_ask(cop_ctx *ctx, void *state, int64_t n, cop_from from) {
    struct partitions *self = state;
    cop_term pid, tag;
    size_t i;
    from_parts(ctx, from, &pid, &tag);
    struct partition *p = partition_of(self, tag, &i);
    if (p == NULL)
        return 0;
    p->demand = demand_sum(p->demand, p->has_queue ? serve_queue(ctx, self, i, n) : n);
    int64_t already = n < self->pending ? n : self->pending;
    self->pending -= already;
    self->waiting = demand_sum(self->waiting, n - already);
    return n - already;
}

/* ---- dispatching ------------------------------------------------------------------------------------ */

enum { DROPPED = UINT32_MAX };

static void make_room(cop_ctx *ctx, struct partitions *self, size_t n) {
    if (n <= self->room)
        return;
    cop_free(ctx, self->terms);
    cop_free(ctx, self->where);
    self->terms = NULL;
    self->where = NULL;
    self->room = n < 64 ? 64 : n;
    self->terms = cop_alloc(ctx, 2 * self->room * sizeof *self->terms);
    self->where = cop_alloc(ctx, self->room * sizeof *self->where);
}

static _Noreturn void unknown_partition(cop_ctx *ctx, const struct partitions *self, cop_term name,
                                        cop_term event) {
    cop_raise(ctx, "RuntimeError",
              "unknown partition %s computed for GenStage event %s. The known partitions are "
              "%s. See the :partitions option to set your own. This event has been discarded.",
              text_of(ctx, name), text_of(ctx, event), text_of(ctx, all_names(ctx, self)));
}

static uint32_t known_index(cop_ctx *ctx, const struct partitions *self, cop_term name,
                            cop_term event) {
    size_t i;
    if (!index_of(self, name, &i))
        unknown_partition(ctx, self, name, event);
    return (uint32_t)i;
}

/* Without a hash. */
static uint32_t default_index(cop_ctx *ctx, const struct partitions *self, cop_term event) {
    uint32_t i = cop_phash2_range(event, self->count);
    return cop_is_none(self->names) ? i : known_index(ctx, self, cop_of(ctx, (int64_t)i), event);
}

/* By a fun: also the event that is sent in this one's place. */
static uint32_t fun_index(cop_ctx *ctx, const struct partitions *self, cop_term event,
                          cop_term *out) {
    cop_term name, answer = cop_fun_call(ctx, self->hash, event);
    if (cop_match(answer, cop_a(none)))
        return DROPPED;
    if (!cop_match_tuple(answer, out, &name))
        cop_raise(ctx, "RuntimeError",
                  "the :hash function should return {event, partition}, got: %s",
                  text_of(ctx, answer));
    return known_index(ctx, self, name, *out);
}

/* By a C function; returns how many are hashed. The usual loop: what it needs is in registers. */
static size_t place_events(cop_ctx *ctx, struct partitions *self, cop_events events) {
    cop_partition_of place_of_event = self->place;
    struct partition *at = self->at;
    uint32_t *where = self->where;
    size_t n = 0, count = self->count;
    int64_t waiting = self->waiting;
    for (; n < events.count && waiting > 0; n++) {
        int64_t place = place_of_event(ctx, events.at[n]);
        where[n] = DROPPED;
        if (__builtin_expect((uint64_t)place < count, 1)) {
            where[n] = (uint32_t)place;
            at[place].to++;
            waiting--;
        } else if (place != COP_NO_PARTITION) {
            unknown_partition(ctx, self, cop_of(ctx, place), events.at[n]);
        }
    }
    self->waiting = waiting;
    return n;
}

/* Notes where the nth event goes, in `to` how many go there. */
static inline void note(struct partitions *self, size_t n, uint32_t i) {
    self->where[n] = i;
    if (i == DROPPED)
        return;
    self->at[i].to++;
    self->waiting--;
}

/* Hashes events while somebody waits for them; returns those that are sent, one in the place of each. */
static cop_events hash_events(cop_ctx *ctx, struct partitions *self, cop_events events) {
    size_t n = 0;
    for (size_t i = 0; i < self->count; i++)
        self->at[i].to = 0;
    if (self->place != NULL) {
        n = place_events(ctx, self, events);
    } else if (cop_is_none(self->hash)) {
        for (; n < events.count && self->waiting > 0; n++)
            note(self, n, default_index(ctx, self, events.at[n]));
    } else {
        for (; n < events.count && self->waiting > 0; n++)
            note(self, n, fun_index(ctx, self, events.at[n], &self->terms[n]));
        events.at = self->terms;
    }
    return cop_events_take(events, n);
}

/* Sorts them by partition: each one's lie from `from` to `to` of what is returned. */
static const cop_term *sort_events(struct partitions *self, cop_events hashed) {
    cop_term *sorted = self->terms + self->room;
    struct partition *at = self->at;
    const uint32_t *where = self->where;
    size_t end = 0;
    for (size_t i = 0; i < self->count; i++) {
        size_t count = at[i].to;
        at[i].from = at[i].to = end;
        end += count;
    }
    for (size_t k = 0; k < hashed.count; k++)
        if (where[k] != DROPPED)
            sorted[at[where[k]].to++] = hashed.at[k];
    return sorted;
}

static cop_events partition_dispatch(cop_ctx *ctx, void *state, cop_events events) {
    struct partitions *self = state;
    if (self->waiting == 0)
        return events;
    make_room(ctx, self, events.count);
    cop_events hashed = hash_events(ctx, self, events);
    const cop_term *sorted = sort_events(self, hashed);
    for (size_t i = 0; i < self->count; i++) {
        struct partition *p = &self->at[i];
        cop_events its = { sorted + p->from, p->to - p->from };
        if (its.count == 0)
            continue;
        cop_events now =
            (uint64_t)p->demand < its.count ? cop_events_take(its, (size_t)p->demand) : its;
        if (now.count > 0)
            send_to(ctx, p, now);
        if (p->has_queue || its.count >= (uint64_t)p->demand)
            enqueue(ctx, self, i, cop_events_skip(its, now.count));
        else
            p->demand -= (int64_t)now.count;
    }
    return cop_events_skip(events, hashed.count);
}

/* ---- as a term ----------------------------------------------------------------------------------------- */

/* A queue as :queue.from_list/1 makes it; marks stand in it as {tag, message}. */
static cop_term queue_term(cop_ctx *ctx, const struct partitions *self, size_t i) {
    const struct partition *p = &self->at[i];
    cop_queue queue = queue_of(ctx, self, i);
    cop_events events, all;
    cop_events_from_list(ctx, cop_queue_to_list(ctx, &queue), &events);
    cop_term *to = cop_events_new(ctx, events.count + p->mark_count, &all);
    size_t n = 0, mark = 0;
    for (size_t k = 0; k <= events.count; k++) {
        for (; mark < p->mark_count && p->marks[mark].place == p->taken + k; mark++)
            to[n++] = cop_tuple(ctx, self->tag,
                                held_term(ctx, &self->infos[p->marks[mark].info].message));
        if (k < events.count)
            to[n++] = events.at[k];
    }
    size_t front = n == 2 ? 1 : n < 2 ? n : n / 2 + 1;
    cop_term rear = cop_events_to_list(ctx, cop_events_skip(all, front));
    return cop_tuple(ctx, cop_list_reverse(ctx, rear),
                     cop_events_to_list(ctx, cop_events_take(all, front)));
}

static cop_term default_hash(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    int64_t n = 1;
    cop_get_i64(env, &n);
    return cop_tuple(ctx, argv[0], cop_phash2_range(argv[0], (uint64_t)n));
}

/* {tag, hash, waiting, pending, %{name => {pid | nil, tag | nil, demand | queue}}, %{tag => name},
   %{number => {message, marks}}} */
static cop_term partition_to_term(cop_ctx *ctx, const void *state) {
    const struct partitions *self = state;
    cop_term all = cop_map(ctx), by_tag = cop_map(ctx), infos = cop_map(ctx);
    cop_term nil = cop_a(nil).t;
    for (size_t i = 0; i < self->count; i++) {
        const struct partition *p = &self->at[i];
        cop_term name = name_of(ctx, self, i),
                 tag = p->has_consumer ? held_term(ctx, &p->tag) : nil;
        cop_term load = p->has_queue ? queue_term(ctx, self, i) : cop_of(ctx, p->demand);
        cop_term pid = p->has_consumer ? held_term(ctx, &p->pid) : nil;
        all = cop_map_put(ctx, all, name, cop_tuple(ctx, pid, tag, load));
        if (p->has_consumer)
            by_tag = cop_map_put(ctx, by_tag, tag, name);
    }
    for (uint32_t i = 0; i < self->info_cap; i++)
        if (self->infos[i].marks > 0)
            infos = cop_map_put(
                ctx, infos, cop_of(ctx, i),
                cop_tuple(ctx, held_term(ctx, &self->infos[i].message), self->infos[i].marks));
    cop_term hash = self->hash;
    if (cop_is_none(hash))
        hash = cop_fun(ctx, default_hash, 1, cop_of(ctx, (int64_t)self->count));
    return cop_tuple(ctx, self->tag, hash, self->waiting, self->pending, all, by_tag, infos);
}

const cop_dispatcher cop_partition_dispatcher = {
    .name = "GenStage.PartitionDispatcher",
    .state_size = sizeof(struct partitions),
    .state_terms = PARTITION_TERMS,
    .init = partition_init,
    .subscribe = partition_subscribe,
    .ask = partition_ask,
    .dispatch = partition_dispatch,
    .cancel = partition_cancel,
    .info = partition_info,
    .state_to_term = partition_to_term,
};
