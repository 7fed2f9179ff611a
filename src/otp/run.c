/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cop_run: a whole program in one call. The node, its standard I/O, the logger, the signals that stop it, the main
 * process; then the wait for its end, by a process that monitors it.
 */
#include <coppice/gen_server.h>
#include <coppice/io.h>
#include <coppice/logger.h>
#include <coppice/node.h>
#include <coppice/os.h>
#include <pthread.h>

static cop_pid main_pid;
static cop_entry main_entry;
/* Held until main_pid is known and signals are taken: a main process may tell the world that it runs, and be sent
   one. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void run_main(cop_ctx *ctx, cop_term arg) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    main_entry(ctx, arg);
}

static void watch(cop_ctx *ctx, cop_term arg) {
    cop_term down;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    cop_ref ref = cop_process_monitor(ctx, main_pid);
    cop_receive_ref(ctx, COP_INFINITY, ref, &down);
    if (cop_os_is_stopping())
        return; /* whoever took the signal waits for the rest, then ends the node */
    cop_term reason = cop_elem(down, 4);
    cop_logger_flush(ctx);
    cop_node_shutdown(ctx,
                      cop_reason_is_normal(reason) || cop_match(reason, cop_a(noproc)) ? 0 : 1);
}

int cop_run(const cop_node_opts *opts, cop_entry entry) {
    int rc = cop_node_start(opts);
    if (rc < 0)
        return rc;
    cop_io_start();
    if (opts == NULL || !opts->no_logger)
        cop_logger_start(opts != NULL ? opts->logger : NULL);
    main_entry = entry;
    pthread_mutex_lock(&gate);
    cop_node_spawn(watch); /* first, so that the main process finds as many others now as later */
    main_pid = cop_node_spawn(run_main);
    cop_os_stop_on_signals(main_pid);
    pthread_mutex_unlock(&gate);
    int status = cop_node_wait();
    cop_node_stop();
    return status;
}
