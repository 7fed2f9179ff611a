/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws what stages say to each other, from a run of them:
 *
 *     stages_picture chain > chain.svg
 *     stages_picture broadcast > broadcast.svg
 *
 * Each stage has a line, time goes down, each message is an arrow: demand in blue, events in green. The
 * messages are seen by a debug function that :sys installs in every stage. The run is a simulated one, so
 * the picture is the same each time; docs/guides/stages.md shows both.
 */
#include <coppice.h>
#include <stdio.h>
#include <string.h>

/* ---- the stages -------------------------------------------------------------------------------------------- */

static cop_stage_init count_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_match(arg, cop_a(broadcast))
               ? cop_stage_producer(.dispatcher = &cop_broadcast_dispatcher,
                                    .demand = COP_DEMAND_ACCUMULATE)
               : cop_stage_producer(0);
}

static cop_stage_next count_demand(cop_ctx *ctx, void *state, int64_t demand) {
    int64_t *next = state;
    cop_events events;
    cop_term *at = cop_events_new(ctx, (size_t)demand, &events);
    for (int64_t i = 0; i < demand; i++)
        at[i] = cop_of(ctx, (*next)++);
    return cop_stage_emit(events);
}

static const cop_gen_stage count = { .name = "Count",
                                     .state_size = sizeof(int64_t),
                                     .init = count_init,
                                     .handle_demand = count_demand };

static cop_stage_init double_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_producer_consumer(0);
}

static cop_stage_next double_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    cop_events doubled;
    cop_term *at = cop_events_new(ctx, events.count, &doubled);
    for (size_t i = 0; i < events.count; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        at[i] = cop_of(ctx, 2 * n);
    }
    return cop_stage_emit(doubled);
}

static const cop_gen_stage twice = { .name = "Double",
                                     .init = double_init,
                                     .handle_events = double_events };

static cop_stage_init take_init(cop_ctx *ctx, void *state, cop_term arg) {
    return cop_stage_consumer(0);
}

static cop_stage_next take_events(cop_ctx *ctx, void *state, cop_events events, cop_from from) {
    return cop_stage_noreply();
}

static const cop_gen_stage take = { .name = "Take",
                                    .init = take_init,
                                    .handle_events = take_events };

/* ---- what is drawn ---------------------------------------------------------------------------------------------- */

enum { LANES = 3, ROWS = 100 };

struct lane {
    const char *name;
    const cop_gen_stage *module;
    cop_pid pid;
};

enum what { SUBSCRIBE, ASK, EVENTS };

struct arrow {
    int from, to;
    enum what what;
    char label[80];
};

static struct {
    struct lane lanes[LANES];
    struct arrow arrows[ROWS];
    int count;
} picture;

static int lane_of(cop_term pid) {
    for (int i = 0; i < LANES; i++)
        if (cop_same(pid, picture.lanes[i].pid.t))
            return i;
    return -1;
}

/* "0 1 2 3" of [0, 1, 2, 3] */
static void label_events(cop_ctx *ctx, char *label, size_t size, cop_term list) {
    cop_events events;
    size_t at = 0;
    if (!cop_events_from_list(ctx, list, &events))
        return;
    for (size_t i = 0; i < events.count && at < size; i++) {
        int64_t n = 0;
        cop_get_i64(events.at[i], &n);
        at += (size_t)snprintf(label + at, size - at, "%s%lld", i > 0 ? " " : "", (long long)n);
    }
}

/* A stage got a message; what is no part of the protocol is not drawn. */
static void note(cop_ctx *ctx, cop_term receiver, cop_term message) {
    cop_term side, from, tag, body, opts, n;
    if (picture.count == ROWS || !cop_match_tuple(message, &side, &from, &body)
        || !cop_match_tuple(from, &from, &tag))
        return;
    struct arrow *arrow = &picture.arrows[picture.count];
    arrow->from = lane_of(from);
    arrow->to = lane_of(receiver);
    if (cop_match(side, cop_as("$gen_consumer")) && cop_is_list(body)) {
        arrow->what = EVENTS;
        label_events(ctx, arrow->label, sizeof arrow->label, body);
    } else if (cop_match_tuple(body, cop_a(ask), &n)) {
        int64_t asked = 0;
        cop_get_i64(n, &asked);
        arrow->what = ASK;
        snprintf(arrow->label, sizeof arrow->label, "ask %lld", (long long)asked);
    } else if (cop_match_tuple(body, cop_a(subscribe), &n, &opts)) {
        arrow->what = SUBSCRIBE;
        snprintf(arrow->label, sizeof arrow->label, "subscribe");
    } else {
        return;
    }
    picture.count += arrow->from >= 0 && arrow->to >= 0;
}

/* ---- watching ----------------------------------------------------------------------------------------------------- */

/* Called in each stage with each of its events; its state is who draws. */
static cop_term tell(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) {
    cop_term message;
    if (cop_match_tuple(argv[1], cop_a(in), &message))
        cop_send(ctx, argv[0], cop_tuple(ctx, cop_a(saw), cop_self(ctx), message));
    return argv[0];
}

static void start(cop_ctx *ctx, struct lane *lane, cop_term arg) {
    lane->pid = cop_gen_stage_start_link(ctx, lane->module, arg, NULL).pid;
    cop_sys_install(ctx, lane->pid, cop_tuple(ctx, cop_fun(ctx, tell, 3, COP_NIL), cop_self(ctx)),
                    0);
}

/* Notes what is said until `lane` has been given that many batches. */
static void watch(cop_ctx *ctx, int lane, int batches) {
    cop_term message, receiver, what;
    while (batches > 0) {
        int before = picture.count;
        cop_receive(ctx, COP_INFINITY, &message);
        if (cop_match_tuple(message, cop_a(saw), &receiver, &what))
            note(ctx, receiver, what);
        struct arrow *last = &picture.arrows[picture.count - 1];
        if (picture.count > before && last->what == EVENTS && last->to == lane)
            batches--;
    }
}

/* ---- drawing -------------------------------------------------------------------------------------------------------- */

enum { LEFT = 70, APART = 200, TOP = 60, ROW = 26 };

static int x_of(int lane) { return LEFT + lane * APART; }

static void draw_arrow(const struct arrow *arrow, int y) {
    static const char *const colours[] = { "#6e7781", "#0969da", "#1a7f37" };
    int x1 = x_of(arrow->from), x2 = x_of(arrow->to), step = x1 < x2 ? 1 : -1;
    printf("  <line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\"%s/>\n", x1, y,
           x2 - 8 * step, y, colours[arrow->what],
           arrow->what == SUBSCRIBE ? " stroke-dasharray=\"4 3\"" : "");
    printf("  <polygon points=\"%d,%d %d,%d %d,%d\" fill=\"%s\"/>\n", x2, y, x2 - 9 * step, y - 4,
           x2 - 9 * step, y + 4, colours[arrow->what]);
    /* The label stands beside the arrow's beginning, off other lines that it crosses. */
    printf("  <text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"%s\">%s</text>\n",
           x1 + step * APART / 2, y - 5, colours[arrow->what], arrow->label);
}

static void draw(void) {
    int width = x_of(LANES - 1) + LEFT, height = TOP + picture.count * ROW + 20;
    printf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
           "height=\"%d\" "
           "font-family=\"sans-serif\" font-size=\"12\">\n",
           width, height, width, height);
    printf("  <rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n");
    for (int i = 0; i < LANES; i++) {
        printf("  <line x1=\"%d\" y1=\"36\" x2=\"%d\" y2=\"%d\" stroke=\"#d0d7de\"/>\n", x_of(i),
               x_of(i), height - 10);
        printf("  <text x=\"%d\" y=\"24\" text-anchor=\"middle\" font-weight=\"bold\">%s</text>\n",
               x_of(i), picture.lanes[i].name);
    }
    for (int i = 0; i < picture.count; i++)
        draw_arrow(&picture.arrows[i], TOP + i * ROW);
    printf("</svg>\n");
}

/* ---- the two pictures -------------------------------------------------------------------------------------------------- */

static void chain(cop_ctx *ctx) {
    static const struct lane lanes[] = { { .name = "producer", .module = &count },
                                         { .name = "producer-consumer", .module = &twice },
                                         { .name = "consumer", .module = &take } };
    memcpy(picture.lanes, lanes, sizeof lanes);
    for (int i = 0; i < LANES; i++)
        start(ctx, &picture.lanes[i], COP_NIL);
    cop_subscribe_opts opts = { .max_demand = 4, .min_demand = 2 };
    cop_gen_stage_sync_subscribe(ctx, picture.lanes[2].pid, picture.lanes[1].pid, &opts, 0);
    cop_gen_stage_sync_subscribe(ctx, picture.lanes[1].pid, picture.lanes[0].pid, &opts, 0);
    watch(ctx, 2, 4);
}

static void broadcast(cop_ctx *ctx) {
    static const struct lane lanes[] = { { .name = "asks for 2", .module = &take },
                                         { .name = "broadcaster", .module = &count },
                                         { .name = "asks for 6", .module = &take } };
    memcpy(picture.lanes, lanes, sizeof lanes);
    for (int i = 0; i < LANES; i++)
        start(ctx, &picture.lanes[i], cop_a(broadcast).t);
    cop_subscribe_opts fast = { .max_demand = 6, .min_demand = 3 };
    cop_subscribe_opts slow = { .max_demand = 2, .min_demand = 1 };
    cop_gen_stage_sync_subscribe(ctx, picture.lanes[2].pid, picture.lanes[1].pid, &fast, 0);
    cop_gen_stage_sync_subscribe(ctx, picture.lanes[0].pid, picture.lanes[1].pid, &slow, 0);
    /* It has kept what was asked for until all were there. */
    cop_gen_stage_set_demand(ctx, picture.lanes[1].pid, COP_DEMAND_FORWARD);
    watch(ctx, 0, 5);
}

static const char *wanted;

static void picture_main(cop_ctx *ctx, cop_term arg) {
    if (strcmp(wanted, "chain") == 0)
        chain(ctx);
    else
        broadcast(ctx);
    draw();
    for (int i = LANES; i-- > 0;)
        cop_process_unlink(ctx, picture.lanes[i].pid);
}

int main(int argc, char **argv) {
    if (argc != 2 || (strcmp(argv[1], "chain") != 0 && strcmp(argv[1], "broadcast") != 0)) {
        fprintf(stderr, "usage: stages_picture chain|broadcast\n");
        return 2;
    }
    wanted = argv[1];
    return cop_run(&(cop_node_opts){ .sim = true, .sim_seed = 5 }, picture_main) == 0 ? 0 : 1;
}
