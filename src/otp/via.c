/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {:via, module, name}: the module's register_name/2, unregister_name/1 and whereis_name/1 are called by
 * name, as in Erlang. Registry is called directly, so that it need not have been started to say
 * that it does not know a name.
 */
#include "via.h"

#include <coppice/module.h>
#include <coppice/registry.h>

bool via_is(cop_term t, cop_term *name) {
    cop_atom module;
    cop_term last;
    if (!cop_match_tuple(t, cop_a(via), &module, &last))
        return false;
    if (name != NULL)
        *name = last;
    return true;
}

/* The module of a name that is one; *registry: it is Registry. */
static cop_atom module_of(cop_term via, cop_term *name, bool *registry) {
    cop_atom module = { cop_elem(via, 1) };
    *name = cop_elem(via, 2);
    *registry = cop_match(module.t, cop_as("Elixir.Registry"));
    return module;
}

cop_term via_whereis(cop_ctx *ctx, cop_term via) {
    bool registry;
    cop_term name;
    cop_atom module = module_of(via, &name, &registry);
    if (registry)
        return cop_registry_whereis_name(ctx, name);
    cop_term found = cop_apply(ctx, module, cop_a(whereis_name), cop_list(ctx, name));
    return cop_is_pid(found) ? found : COP_NONE;
}

bool via_register(cop_ctx *ctx, cop_term via) {
    bool registry;
    cop_term name;
    cop_atom module = module_of(via, &name, &registry);
    if (registry)
        return cop_registry_register_name(ctx, name, cop_self(ctx));
    cop_term args = cop_list(ctx, name, cop_self(ctx));
    return cop_match(cop_apply(ctx, module, cop_a(register_name), args), cop_a(yes));
}

void via_unregister(cop_ctx *ctx, cop_term via) {
    bool registry;
    cop_term name;
    cop_atom module = module_of(via, &name, &registry);
    if (registry)
        cop_registry_unregister_name(ctx, name);
    else
        cop_apply(ctx, module, cop_a(unregister_name), cop_list(ctx, name));
}
