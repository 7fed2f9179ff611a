/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_OS_H
#define COPPICE_OS_H

#include <coppice/process.h>

/*
 * SIGTERM and SIGINT stop the node in order: the main process gets the exit signal :shutdown, so a
 * supervision tree linked to it stops its children in reverse order. A second signal ends the program
 * at once. If a process is registered as :erl_signal_server, it gets {:signal, :sigterm | :sigint} in
 * place of that. Host call, after cop_node_start; cop_run does it by itself.
 */
int cop_os_stop_on_signals(cop_pid main);
/* True once such a signal has come: the node is going down in order. Any thread. */
bool cop_os_is_stopping(void);

#endif
