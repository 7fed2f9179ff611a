/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerables and iterators. Observed: Elixir 1.14, OTP 25, unless a test says otherwise. */
#include <coppice/enum.h>
#include <coppice/gen_server.h>
#include <coppice/test.h>

/* ---- lists, maps, ranges ------------------------------------------------------------------------------ */

TEST(a_list_is_walked_to_its_end_and_stays_there) {
    cop_enum e = cop_enum_open(ctx, cop_list(ctx, 1, 2.0, "three"));
    cop_term element;
    EXPECT(cop_enum_next(ctx, &e, &element));
    EXPECT_TERM(ctx, element, "1");
    EXPECT(cop_enum_next(ctx, &e, &element));
    EXPECT(cop_enum_next(ctx, &e, &element));
    EXPECT_TERM(ctx, element, "\"three\"");
    EXPECT(!cop_enum_next(ctx, &e, &element));
    EXPECT(!cop_enum_next(ctx, &e, &element));
    cop_enum zeroed = { 0 };
    EXPECT(!cop_enum_next(ctx, &zeroed, &element));
    cop_enum_close(ctx, &zeroed);
}

TEST(an_improper_tail_is_no_element) {
    cop_term improper = cop_list_tail(ctx, 1, cop_of(ctx, 2));
    EXPECT_TERM(ctx, cop_enum_take(ctx, improper, 1), "[1]"); /* Elixir: [1] */
    EXPECT_ERROR(ctx, "%FunctionClauseError{}") { cop_enum_take(ctx, improper, 2); }
}

TEST(a_map_gives_its_pairs) {
    cop_term map = cop_map(ctx, cop_a(b), 2, cop_a(a), 1);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, map), "[a: 1, b: 2]");
    EXPECT_INT(cop_enum_count(ctx, map), 2);
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, cop_map(ctx)), "[]");
}

static cop_term range_list(cop_ctx *ctx, int64_t first, int64_t last, int64_t step) {
    cop_term range = cop_range(ctx, first, last, step), list = cop_enum_to_list(ctx, range);
    EXPECT_INT(cop_enum_count(ctx, range), cop_list_length(list));
    return list;
}

TEST(a_range_steps_towards_its_last) {
    EXPECT_TERM(ctx, range_list(ctx, 1, 4, 0), "[1, 2, 3, 4]");
    EXPECT_TERM(ctx, range_list(ctx, 4, 1, 0), "[4, 3, 2, 1]");
    EXPECT_TERM(ctx, range_list(ctx, 1, 10, 4), "[1, 5, 9]");
    EXPECT_TERM(ctx, range_list(ctx, 10, 1, -4), "[10, 6, 2]");
    EXPECT_TERM(ctx, range_list(ctx, 1, 3, -1), "[]");
    EXPECT_TERM(ctx, range_list(ctx, 3, 1, 1), "[]");
    EXPECT_TERM(ctx, range_list(ctx, 7, 7, 0), "[7]");
    EXPECT_TERM(ctx, cop_range(ctx, 1, 3, 0), "%Range{first: 1, last: 3, step: 1}");
}

TEST(a_range_ends_at_the_edges_of_64_bits) {
    EXPECT_TERM(ctx, range_list(ctx, INT64_MAX - 1, INT64_MAX, 0),
                "[9223372036854775806, 9223372036854775807]");
    EXPECT_TERM(ctx, range_list(ctx, INT64_MIN + 5, INT64_MIN, -3),
                "[-9223372036854775803, -9223372036854775806]");
    EXPECT_TERM(ctx, range_list(ctx, INT64_MAX, INT64_MIN, INT64_MIN), "[9223372036854775807, -1]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, cop_range(ctx, INT64_MIN, INT64_MAX, 1), 1),
                "[-9223372036854775808]");
    cop_term wide = cop_map_put(ctx, cop_range(ctx, 1, 2, 1), cop_a(last).t,
                                cop_integer_parse(ctx, "100000000000000000000", 21));
    EXPECT_ERROR(ctx, "%ArgumentError{}") { cop_enum_to_list(ctx, wide); }
}

TEST(what_is_not_enumerable_raises) {
    static const char message[] = "%Protocol.UndefinedError{}";
    EXPECT_ERROR(ctx, message) { cop_enum_to_list(ctx, cop_of(ctx, 5)); }
    EXPECT_ERROR(ctx, message) { cop_enum_take(ctx, cop_of(ctx, 5), 0); }
    EXPECT_ERROR(ctx, message) { cop_enum_open(ctx, cop_tuple(ctx, 1, 2)); }
    EXPECT_ERROR(ctx, message) {
        cop_enum_open(ctx, cop_map(ctx, cop_a(__struct__), cop_as("Elixir.URI")));
    }
    EXPECT_ERROR(ctx, message) { /* a struct that only looks like a stream */
        cop_enum_open(ctx, cop_map(ctx, cop_a(__struct__), cop_as("Elixir.Coppice.Stream"),
                                   cop_a(generator), cop_make_ref(ctx), cop_a(arg), 1));
    }
    EXPECT(cop_is_enumerable(COP_NIL) && !cop_is_enumerable(cop_a(ok).t));
}

TEST(take_counts_from_either_end) {
    cop_term range = cop_range(ctx, 1, 3, 1);
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, 2), "[1, 2]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, 9), "[1, 2, 3]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, 0), "[]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, -2), "[2, 3]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, -9), "[1, 2, 3]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, range, INT64_MIN), "[1, 2, 3]");
}

/* ---- generators --------------------------------------------------------------------------------------- */

/* Counts from its argument up; tells whoever is registered as :witness what is called. At 100 it raises,
   at 200 it ends, at 300 it writes where it may not, at 400 it waits for ever. */
struct counting {
    cop_pid witness;
    int *closed;
};
static int closed_count;
static volatile int *volatile nowhere = (volatile int *)8;

static void tell(cop_ctx *ctx, cop_atom what) {
    if (!cop_is_none(cop_process_whereis(ctx, cop_a(witness))))
        cop_send(ctx, cop_a(witness), what);
}

static void counting_open(cop_ctx *ctx, void *state, cop_term arg) {
    struct counting *self = state;
    self->closed = &closed_count;
    tell(ctx, cop_a(open));
    if (cop_match(arg, cop_a(bad)))
        cop_raise(ctx, "RuntimeError", "cannot open");
}

static bool counting_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    int64_t n = 0;
    (void)state;
    cop_get_i64(*kept, &n);
    if (n == 100)
        cop_raise(ctx, "RuntimeError", "at 100");
    if (n == 200)
        return false;
    if (n == 300)
        *nowhere = 1;
    if (n == 400)
        cop_process_sleep(ctx, COP_INFINITY);
    *element = cop_of(ctx, n);
    *kept = cop_of(ctx, n + 1);
    return true;
}

static void counting_halt(cop_ctx *ctx, void *state, cop_term kept) {
    (void)state;
    if (!cop_is_none(cop_process_whereis(ctx, cop_a(witness))))
        cop_send(ctx, cop_a(witness), cop_tuple(ctx, cop_a(halt), kept));
}

static void counting_close(void *state) {
    struct counting *self = state;
    __atomic_fetch_add(self->closed, 1, __ATOMIC_SEQ_CST);
}

static const cop_generator counting = {
    .name = "counting",
    .state_size = sizeof(struct counting),
    .open = counting_open,
    .next = counting_next,
    .halt = counting_halt,
    .close = counting_close,
};

static cop_term count_from(cop_ctx *ctx, int64_t n) {
    return cop_stream(ctx, &counting, cop_of(ctx, n));
}

/* Elixir's Stream.resource: take(2) prints open, close; take(0) prints nothing. */
TEST(a_generator_is_opened_once_and_closed_when_the_walk_is_halted) {
    cop_process_register(ctx, cop_self(ctx), cop_a(witness));
    EXPECT_TERM(ctx, cop_enum_take(ctx, count_from(ctx, 1), 0), "[]");
    EXPECT_TERM(ctx, test_flush(ctx), "[]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, count_from(ctx, 1), 2), "[1, 2]");
    EXPECT_TERM(ctx, test_flush(ctx), "[:open, {:halt, 3}]");
    EXPECT_INT(closed_count, 1);
}

TEST(a_generator_is_closed_at_its_end) {
    cop_process_register(ctx, cop_self(ctx), cop_a(witness));
    EXPECT_TERM(ctx, cop_enum_to_list(ctx, count_from(ctx, 198)), "[198, 199]");
    EXPECT_TERM(ctx, test_flush(ctx), "[:open, {:halt, 200}]");
    EXPECT_INT(closed_count, 1);
    EXPECT_INT(cop_enum_count(ctx, count_from(ctx, 150)), 50);
    EXPECT_INT(closed_count, 2);
}

/* Elixir's Stream.resource: its after_fun runs, then the exception goes on. */
TEST(a_generator_that_raises_is_closed_first) {
    cop_process_register(ctx, cop_self(ctx), cop_a(witness));
    cop_enum e = cop_enum_open(ctx, count_from(ctx, 99));
    cop_term element;
    EXPECT(cop_enum_next(ctx, &e, &element));
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"at 100\"}") { cop_enum_next(ctx, &e, &element); }
    EXPECT_TERM(ctx, test_flush(ctx), "[:open, {:halt, 100}]");
    EXPECT_INT(closed_count, 1);
    EXPECT(!cop_enum_next(ctx, &e, &element));
}

TEST(what_a_failed_open_has_taken_is_let_go) {
    EXPECT_ERROR(ctx, "%RuntimeError{message: \"cannot open\"}") {
        cop_enum_open(ctx, cop_stream(ctx, &counting, cop_a(bad).t));
    }
    EXPECT_INT(closed_count, 1);
}

TEST(a_stream_is_a_value_that_each_walk_begins_anew) {
    cop_term stream = count_from(ctx, 5);
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream, 2), "[5, 6]");
    EXPECT_TERM(ctx, cop_enum_take(ctx, stream, 3), "[5, 6, 7]");
    EXPECT_TERM(ctx, stream, "%Coppice.Stream{arg: 5, generator: _, name: \"counting\"}");
    cop_enum a = cop_enum_open(ctx, stream), b = cop_enum_open(ctx, stream);
    EXPECT_TERM(ctx, cop_enum_next_list(ctx, &a, 2), "[5, 6]");
    EXPECT_TERM(ctx, cop_enum_next_list(ctx, &b, 1), "[5]");
    EXPECT_TERM(ctx, cop_enum_next_list(ctx, &a, 1), "[7]");
    cop_enum_close(ctx, &a);
    cop_enum_close(ctx, &b);
    cop_enum_close(ctx, &b);
    EXPECT_INT(closed_count, 4);
}

static void walk_and_wait(cop_ctx *ctx, cop_term stream) {
    cop_term element;
    cop_enum e = cop_enum_open(ctx, stream);
    while (cop_enum_next(ctx, &e, &element)) {
        cop_send(ctx, cop_a(witness), element);
        cop_receive(ctx, COP_INFINITY, &element);
    }
}

TEST(a_stream_walks_in_the_process_it_was_sent_to_and_is_closed_with_it) {
    cop_process_register(ctx, cop_self(ctx), cop_a(witness));
    cop_spawned walker = cop_spawn_monitor(ctx, walk_and_wait, count_from(ctx, 7));
    ASSERT_RECEIVE(ctx, "7");
    EXPECT_INT(closed_count, 0);
    cop_process_exit(ctx, walker.pid, cop_a(shutdown).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :shutdown}");
    EXPECT_INT(closed_count, 1);
    EXPECT_TERM(ctx, test_flush(ctx), "[:open]"); /* halt is for the living */
}

TEST(a_kill_in_the_middle_of_next_closes_too) {
    cop_process_register(ctx, cop_self(ctx), cop_a(witness));
    cop_spawned walker = cop_spawn_monitor(ctx, walk_and_wait, count_from(ctx, 400));
    ASSERT_RECEIVE(ctx, ":open");
    cop_process_exit(ctx, walker.pid, cop_a(kill).t);
    ASSERT_RECEIVE(ctx, "{:DOWN, _, :process, _, :killed}");
    EXPECT_INT(closed_count, 1);
}

TEST(a_fault_in_next_closes_at_the_end_of_the_process) {
    cop_spawned walker = cop_spawn_monitor(ctx, walk_and_wait, count_from(ctx, 300));
    cop_term down;
    EXPECT(cop_receive_ref(ctx, 5000, walker.ref, &down));
    EXPECT_TERM(ctx, cop_elem(down, 4), "{{:sigsegv, _}, _}");
    EXPECT_INT(closed_count, 1);
}

/* ---- each --------------------------------------------------------------------------------------------- */

static bool add_until_5(cop_ctx *ctx, cop_term element, void *arg) {
    int64_t n = 0;
    cop_get_i64(element, &n);
    if (n == 50)
        cop_exit(ctx, cop_a(fifty));
    *(int64_t *)arg += n;
    return n != 5;
}

TEST(each_ends_when_told_and_closes) {
    int64_t sum = 0;
    EXPECT(!cop_enum_each(ctx, count_from(ctx, 3), add_until_5, &sum));
    EXPECT_INT(sum, 3 + 4 + 5);
    EXPECT_INT(closed_count, 1);
    sum = 0;
    EXPECT(cop_enum_each(ctx, cop_range(ctx, 6, 8, 1), add_until_5, &sum));
    EXPECT_INT(sum, 6 + 7 + 8);
    EXPECT_EXIT(ctx, ":fifty") { cop_enum_each(ctx, count_from(ctx, 49), add_until_5, &sum); }
    EXPECT_INT(closed_count, 2);
}

/* Elements and the kept term are boxed and of the round's own making. */
static bool growing_next(cop_ctx *ctx, void *state, cop_term *kept, cop_term *element) {
    int64_t n = 0;
    cop_term previous;
    (void)state;
    if (!cop_match_tuple(*kept, &n, &previous) || n == 50000)
        return false;
    *element = *kept;
    *kept = cop_tuple(ctx, n + 1, cop_tuple(ctx, cop_a(after), n));
    return true;
}
static const cop_generator growing = { .name = "growing", .next = growing_next };

static bool make_garbage(cop_ctx *ctx, cop_term element, void *arg) {
    int64_t n, before;
    cop_term previous;
    EXPECT(cop_match_tuple(element, &n, &previous));
    EXPECT(cop_match_tuple(previous, cop_a(after), &before) && before == n - 1);
    cop_binary(ctx, "0123456789012345678901234567890123456789", 40);
    ++*(int64_t *)arg;
    return true;
}

TEST(each_takes_constant_memory_also_when_the_generator_keeps_terms) {
    cop_term start = cop_tuple(ctx, 0, cop_tuple(ctx, cop_a(after), -1));
    cop_term stream = cop_stream(ctx, &growing, start);
    int64_t count = 0, words = 0;
    EXPECT(cop_enum_each(ctx, stream, make_garbage, &count));
    EXPECT_INT(count, 50000);
    EXPECT(cop_get_i64(cop_process_info(ctx, cop_self(ctx), cop_a(total_heap_size)), &words));
    EXPECT(words < 5000);
}

/* ---- an iterator in a state --------------------------------------------------------------------------- */

struct feeder {
    cop_enum input; /* its first word is a term */
};

static cop_init feeder_init(cop_ctx *ctx, void *state, cop_term arg) {
    struct feeder *self = state;
    self->input = cop_enum_open(ctx, arg);
    return cop_init_ok();
}

static cop_next feeder_handle_call(cop_ctx *ctx, void *state, cop_term request, cop_from from) {
    struct feeder *self = state;
    uint64_t n = 0;
    (void)from;
    cop_get_u64(request, &n);
    cop_garbage_collect(ctx, cop_self(ctx));
    return cop_reply(ctx, cop_enum_next_list(ctx, &self->input, (size_t)n));
}

static const cop_gen_server feeder = {
    .name = "Feeder",
    .state_size = sizeof(struct feeder),
    .state_terms = COP_ENUM_TERMS,
    .init = feeder_init,
    .handle_call = feeder_handle_call,
};

static void feed(cop_ctx *ctx, cop_term input, const char *first, const char *rest) {
    cop_started s = cop_gen_server_start_link(ctx, &feeder, input, NULL);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_of(ctx, 2), 0), first);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_of(ctx, 9), 0), rest);
    EXPECT_TERM(ctx, cop_gen_server_call(ctx, s.pid, cop_of(ctx, 9), 0), "[]");
    cop_gen_server_stop(ctx, s.pid, cop_a(normal), 0);
}

TEST(an_iterator_in_the_state_of_a_server_survives_collections) {
    feed(ctx, cop_list(ctx, "a", "b", "c", 1.5), "[\"a\", \"b\"]", "[\"c\", 1.5]");
    feed(ctx, cop_range(ctx, 1, 3, 1), "[1, 2]", "[3]");
    feed(ctx, cop_map(ctx, "a", 1.0, "b", 2.0, "c", 3.0), "[{\"a\", 1.0}, {\"b\", 2.0}]",
         "[{\"c\", 3.0}]");
    cop_term start = cop_tuple(ctx, 49997, cop_tuple(ctx, cop_a(after), 49996));
    feed(ctx, cop_stream(ctx, &growing, start), "[{49997, _}, {49998, _}]",
         "[{49999, {:after, 49998}}]");
}
