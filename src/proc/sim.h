/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__PROC_SIM_H
#define COP__PROC_SIM_H

#include <coppice/term.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Simulation, seen from the run-time. Everything but cop__sim_start is called only while
 * cop__node.sim is set, so that a node that is not simulated pays for none of it.
 */
struct cop_ctx;
struct cop__env;
struct cop__sched;
struct cop__worker;

enum cop__sim_event {
    SIM_PICK = 1, /* a process begins a turn */
    SIM_YIELD,    /* it hands off in the middle of one */
    SIM_OPEN,     /* an envelope is taken out of a box */
    SIM_SPAWN,
    SIM_EXIT,
    SIM_TIME, /* the clock jumps */
    SIM_FAULT,
};

/* ---- sim.c: time, choice, fault points ---- */

/* With the node's options and the environment. 0, or -EINVAL after a line on stderr. */
int cop__sim_start(bool asked, uint64_t seed, const char *faults);
void cop__sim_stop(void);
/* From here on processes run: the host has started what it wants to have from the beginning. */
void cop__sim_open(void);
uint64_t cop__sim_random(void);
void cop__sim_push(struct cop_ctx *p);
struct cop_ctx *cop__sim_pick(struct cop__worker *w);
/* Nothing can run. */
void cop__sim_idle(struct cop__worker *w);
/* A process comes into the run-time: it may have to give way here, or to die. */
void cop__sim_enter(struct cop_ctx *p);
/* The reductions of a turn. */
int32_t cop__sim_budget(void);
/* Does this allocation fail? */
bool cop__sim_no_memory(struct cop_ctx *p);

/* ---- sim_trace.c: the trace ---- */

void cop__sim_trace_start(uint64_t seed);
/* The trace ends; later events are not of it. */
void cop__sim_trace_close(void);
void cop__sim_trace_stop(void);
void cop__sim_saw(enum cop__sim_event event, uint64_t a, uint64_t b, uint64_t c);
/* `first` and those behind it have come out of p's box. */
void cop__sim_opened(struct cop_ctx *p, const struct cop__env *first);
void cop__sim_exits(struct cop_ctx *p, cop_term reason);

#endif
