/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisors as modules, for specifications that name them: {DynamicSupervisor, name: :n} in a list of
 * children, or start: {Supervisor, :start_link, [children, options]}. They are loaded once, before the first
 * specification is resolved or the first supervisor starts, and so are Registry and Agent.
 */
#include <pthread.h>

#include <coppice/agent.h>

#include "registry_parts.h"
#include "sup.h"
#include "task_part.h"

static cop_term supervisor_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, cop_supervisor_start_link_terms(ctx, a[0], a[1]));
}

static cop_term dynamic_start_link(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_started_to_term(ctx, cop_dynamic_supervisor_start_link_terms(ctx, a[0]));
}

static cop_term dynamic_child_spec(cop_ctx *ctx, cop_term env, size_t n, const cop_term *a) {
    return cop_dynamic_supervisor_child_spec(ctx, a[0]);
}

static const cop_module supervisor = {
    .name = "Elixir.Supervisor",
    .exports = (const cop_export[]){ { "start_link", 2, supervisor_start_link }, { 0 } },
};

static const cop_module dynamic_supervisor = {
    .name = "Elixir.DynamicSupervisor",
    .exports = (const cop_export[]){ { "start_link", 1, dynamic_start_link },
                                     { "child_spec", 1, dynamic_child_spec },
                                     { 0 } },
};

static void load(void) {
    cop_module_load(&supervisor);
    cop_module_load(&dynamic_supervisor);
    cop_module_load(&sup_partition_module);
    cop_module_load(&registry_module);
    cop_agent_load();
    cop_module_load(&task_module);
    cop_module_load(&task_supervised_module);
    cop_module_load(&task_supervisor_module);
}

void sup_load_modules(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
}
