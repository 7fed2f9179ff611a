/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_H
#define COPPICE_H

/* The whole public API. Tests include coppice/test.h too. */
#include <coppice/agent.h>
#include <coppice/child_spec.h>
#include <coppice/consumer_supervisor.h>
#include <coppice/dispatcher.h>
#include <coppice/dynamic_supervisor.h>
#include <coppice/enum.h>
#include <coppice/events.h>
#include <coppice/file.h>
#include <coppice/gen.h>
#include <coppice/gen_server.h>
#include <coppice/gen_stage.h>
#include <coppice/gen_tcp.h>
#include <coppice/gen_udp.h>
#include <coppice/global.h>
#include <coppice/inet.h>
#include <coppice/io.h>
#include <coppice/log.h>
#include <coppice/logger.h>
#include <coppice/match.h>
#include <coppice/match_spec.h>
#include <coppice/module.h>
#include <coppice/node.h>
#include <coppice/os.h>
#include <coppice/partition_supervisor.h>
#include <coppice/pattern.h>
#include <coppice/port.h>
#include <coppice/proc_lib.h>
#include <coppice/process.h>
#include <coppice/registry.h>
#include <coppice/sim.h>
#include <coppice/supervisor.h>
#include <coppice/sys.h>
#include <coppice/table.h>
#include <coppice/task.h>
#include <coppice/task_supervisor.h>
#include <coppice/term.h>

#endif
