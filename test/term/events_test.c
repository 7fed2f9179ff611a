/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of events as arrays, and the queue in which they wait. */
#include <coppice.h>
#include <coppice/test.h>

TEST_TERM(a_list_is_a_batch_and_back) {
    cop_term list = cop_list(ctx, 1, cop_a(two), "three");
    cop_events events;
    EXPECT(cop_events_from_list(ctx, list, &events));
    EXPECT_INT(events.count, 3);
    EXPECT_TERM(ctx, events.at[1], ":two");
    EXPECT_SAME(ctx, cop_events_to_list(ctx, events), list);
    EXPECT(cop_events_from_list(ctx, COP_NIL, &events));
    EXPECT_INT(events.count, 0);
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_no_events()), "[]");
}

TEST_TERM(what_is_no_proper_list_is_no_batch) {
    cop_events events;
    EXPECT(!cop_events_from_list(ctx, cop_a(a).t, &events));
    EXPECT(!cop_events_from_list(ctx, cop_list_tail(ctx, 1, 2), &events));
}

TEST_TERM(a_batch_is_as_long_as_it_was_made) {
    for (size_t n = 0; n <= 9; n++) {
        cop_events events, again;
        cop_term *at = cop_events_new(ctx, n, &events);
        for (size_t i = 0; i < n; i++)
            EXPECT(cop_is_nil(at[i]));
        for (size_t i = 0; i < n; i++)
            at[i] = cop_of(ctx, (int64_t)i);
        EXPECT(cop_events_from_list(ctx, cop_events_to_list(ctx, events), &again));
        EXPECT_INT(again.count, n);
        for (size_t i = 0; i < n; i++)
            EXPECT_SAME(ctx, again.at[i], cop_of(ctx, (int64_t)i));
    }
}

TEST_TERM(parts_of_a_batch) {
    cop_events all;
    cop_term *at = cop_events_new(ctx, 4, &all);
    for (int i = 0; i < 4; i++)
        at[i] = cop_of(ctx, i);
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_events_take(all, 3)), "[0, 1, 2]");
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_events_skip(all, 3)), "[3]");
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_events_take(all, 9)), "[0, 1, 2, 3]");
    EXPECT_INT(cop_events_skip(all, 4).count, 0);
    EXPECT_INT(cop_events_skip(all, 9).count, 0);
}

static void push(cop_ctx *ctx, cop_queue *queue, int64_t from, int64_t to) {
    cop_events all;
    cop_term *at = cop_events_new(ctx, (size_t)(to - from), &all);
    for (int64_t i = from; i < to; i++)
        at[i - from] = cop_of(ctx, i);
    cop_queue_push(ctx, queue, all);
}

TEST_TERM(a_queue_gives_what_came_first) {
    cop_queue queue = { 0 };
    EXPECT_INT(cop_queue_count(&queue), 0);
    EXPECT_INT(cop_queue_take(ctx, &queue, 5).count, 0);
    EXPECT_TERM(ctx, cop_queue_to_list(ctx, &queue), "[]");
    push(ctx, &queue, 0, 3);
    push(ctx, &queue, 3, 4);
    push(ctx, &queue, 4, 4);
    EXPECT_TERM(ctx, cop_queue_to_list(ctx, &queue), "[0, 1, 2, 3]");
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_queue_take(ctx, &queue, 2)), "[0, 1]");
    EXPECT_INT(cop_queue_count(&queue), 2);
    push(ctx, &queue, 4, 6);
    EXPECT_TERM(ctx, cop_queue_to_list(ctx, &queue), "[2, 3, 4, 5]");
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_queue_take(ctx, &queue, 3)), "[2, 3, 4]");
    EXPECT_TERM(ctx, cop_events_to_list(ctx, cop_queue_take(ctx, &queue, 3)), "[5]");
    EXPECT_INT(cop_queue_count(&queue), 0);
    EXPECT_TERM(ctx, cop_tuple(ctx, queue.front, queue.back, queue.at, queue.count),
                "{[], [], 0, 0}");
}

TEST_TERM(long_batches_are_cut_and_joined_again) {
    cop_queue queue = { 0 };
    int64_t next = 0;
    push(ctx, &queue, 0, 5000);
    push(ctx, &queue, 5000, 5003);
    for (size_t n = 1; cop_queue_count(&queue) > 0; n = n * 3 + 1) {
        cop_events some = cop_queue_take(ctx, &queue, n);
        EXPECT(some.count == n || cop_queue_count(&queue) == 0);
        for (size_t i = 0; i < some.count; i++)
            EXPECT(cop_match(some.at[i], next++));
    }
    EXPECT_INT(next, 5003);
}

/* A server that keeps a queue of boxed terms in its state, and collects between its messages. */
struct keeper {
    cop_queue queue;
    int64_t next;
};

static cop_init keeper_init(cop_ctx *ctx, void *state, cop_term arg) { return cop_init_ok(); }

static cop_next keeper_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct keeper *self = state;
    int64_t n;
    if (cop_match_tuple(request, cop_a(push), &n)) {
        cop_events all;
        cop_term *at = cop_events_new(ctx, (size_t)n, &all);
        for (int64_t i = 0; i < n; i++)
            at[i] = cop_tuple(ctx, cop_a(event), self->next++);
        cop_queue_push(ctx, &self->queue, all);
        return cop_reply(ctx, cop_queue_count(&self->queue));
    }
    if (cop_match_tuple(request, cop_a(take), &n))
        return cop_reply(ctx,
                         cop_events_to_list(ctx, cop_queue_take(ctx, &self->queue, (size_t)n)));
    return cop_bad_call(ctx, request);
}

static const cop_gen_server keeper = {
    .name = "Keeper",
    .state_size = sizeof(struct keeper),
    .state_terms = COP_QUEUE_TERMS,
    .init = keeper_init,
    .handle_call = keeper_call,
};

static cop_started start_keeper(cop_ctx *ctx, cop_term arg) {
    return cop_gen_server_start_link(ctx, &keeper, arg, NULL);
}

TEST(a_queue_in_a_state_outlives_collections) {
    cop_pid server = test_start_supervised(ctx, start_keeper, COP_NIL);
    int64_t next = 0;
    for (int round = 0; round < 200; round++) {
        cop_gen_server_call(ctx, server, cop_tuple(ctx, cop_a(push), 1 + round % 7), 0);
        if (round % 3 == 0)
            cop_garbage_collect(ctx, server);
        cop_term list = cop_gen_server_call(ctx, server, cop_tuple(ctx, cop_a(take), 1 + round % 5),
                                            0),
                 event;
        while (cop_get_cons(list, &event, &list))
            EXPECT(cop_match_tuple(event, cop_a(event), next++));
    }
    EXPECT(next > 500);
}

TEST_TERM(lists_in_a_row_and_others_give_the_same_events) {
    cop_term row = cop_list(ctx, 1, 2, 3);
    cop_term apart = cop_cons(ctx, 1, cop_cons(ctx, 2, cop_cons(ctx, 3, COP_NIL)));
    cop_term half = cop_list_tail(ctx, 1, cop_list(ctx, 2, 3));
    cop_term lists[] = { row, apart, half };
    cop_events events;
    for (int i = 0; i < 3; i++) {
        EXPECT(cop_events_from_list(ctx, lists[i], &events));
        EXPECT_TERM(ctx, cop_events_to_list(ctx, events), "[1, 2, 3]");
    }
    EXPECT(!cop_events_from_list(ctx, cop_list_tail(ctx, 1, 2, cop_a(end)), &events));
    EXPECT(!cop_events_from_list(ctx, cop_a(none).t, &events));
    EXPECT(cop_events_from_list(ctx, COP_NIL, &events));
    EXPECT_INT(events.count, 0);
}
