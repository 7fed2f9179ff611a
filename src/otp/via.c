/* SPDX-License-Identifier: Apache-2.0 */
/*
 * {:global, name}, which is {:via, :global, name}, and {:via, module, name}: the module's register_name/2, unregister_name/1 and whereis_name/1 are called by
 * name, as in Erlang. Registry is called directly, so that it need not have been started to say
 * that it does not know a name; and so is global.
 */
#include "via.h"

#include <coppice/global.h>
#include <coppice/module.h>
#include <coppice/registry.h>

bool via_is(cop_term t, cop_term *name) {
    cop_atom module;
    cop_term last;
    if (!cop_match_tuple(t, cop_a(via), &module, &last)
        && !cop_match_tuple(t, cop_a(global), &last))
        return false;
    if (name != NULL)
        *name = last;
    return true;
}

/* The module of a name that is one. */
static cop_atom module_of(cop_term via, cop_term *name) {
    bool is_global = cop_tuple_size(via) == 2;
    *name = cop_elem(via, is_global ? 1 : 2);
    return is_global ? cop_a(global) : (cop_atom){ cop_elem(via, 1) };
}

static bool is_registry(cop_atom module) { return cop_match(module.t, cop_as("Elixir.Registry")); }

static bool is_global(cop_atom module) { return cop_match(module.t, cop_a(global)); }

cop_term via_whereis(cop_ctx *ctx, cop_term via) {
    cop_term name;
    cop_atom module = module_of(via, &name);
    if (is_registry(module))
        return cop_registry_whereis_name(ctx, name);
    if (is_global(module))
        return cop_global_whereis_name(ctx, name);
    cop_term found = cop_apply(ctx, module, cop_a(whereis_name), cop_list(ctx, name));
    return cop_is_pid(found) ? found : COP_NONE;
}

bool via_register(cop_ctx *ctx, cop_term via) {
    cop_term name;
    cop_atom module = module_of(via, &name);
    if (is_registry(module))
        return cop_registry_register_name(ctx, name, cop_self(ctx));
    if (is_global(module))
        return cop_global_register_name(ctx, name, cop_self(ctx));
    cop_term args = cop_list(ctx, name, cop_self(ctx));
    return cop_match(cop_apply(ctx, module, cop_a(register_name), args), cop_a(yes));
}

void via_unregister(cop_ctx *ctx, cop_term via) {
    cop_term name;
    cop_atom module = module_of(via, &name);
    if (is_registry(module))
        cop_registry_unregister_name(ctx, name);
    else if (is_global(module))
        cop_global_unregister_name(ctx, name);
    else
        cop_apply(ctx, module, cop_a(unregister_name), cop_list(ctx, name));
}
