/* SPDX-License-Identifier: Apache-2.0 */
/* A node without the kit and without libraries: for other machines' emulators. */
#include <coppice/node.h>
#include <stdio.h>

static void child(cop_ctx *ctx, cop_term arg) {
    cop_pid to;
    int64_t n;
    if (!cop_match_tuple(arg, &to, &n))
        cop_exit(ctx, cop_a(badarg));
    cop_send(ctx, to, n);
    cop_exit(ctx, cop_a(done));
}

static void run(cop_ctx *ctx, cop_term arg) {
    int64_t sum = 0, downs = 0;
    for (int64_t i = 1; i <= 1000; i++)
        cop_spawn_monitor(ctx, child, cop_tuple(ctx, cop_self(ctx), i));
    for (int i = 0; i < 2000; i++) {
        cop_term message, any;
        int64_t n;
        if (!cop_receive(ctx, 60000, &message))
            break;
        if (cop_get_i64(message, &n))
            sum += n;
        downs += cop_match_tuple(message, cop_as("DOWN"), &any, &any, &any, cop_a(done));
    }
    printf("%s 1 - a thousand processes send and end\n",
           sum == 500500 && downs == 1000 ? "ok" : "not ok");
    cop_node_shutdown(ctx, sum == 500500 && downs == 1000 ? 0 : 1);
}

int main(void) {
    puts("1..1");
    if (cop_node_start(&(cop_node_opts){ .schedulers = 2 }) != 0)
        return 1;
    cop_node_spawn(run);
    int status = cop_node_wait();
    cop_node_stop();
    return status;
}
