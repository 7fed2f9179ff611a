/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_MODULE_H
#define COPPICE_MODULE_H

#include <coppice/process.h>

/*
 * Modules: tables of C functions that are called by name, wherever OTP takes {module, function,
 * arguments}: spawning, hibernating, child specs, remote calls; and through &Module.function/arity.
 *
 *     static cop_term add(cop_ctx *ctx, cop_term env, size_t argc, const cop_term *argv) { ... }
 *     static const cop_module calculator = {
 *         .name = "calculator",
 *         .exports = (const cop_export[]){ { "add", 2, add }, { 0 } },
 *     };
 *     cop_module_load(&calculator);
 *
 * A function of a module has the form of a fun's body; its env is [].
 */
typedef struct cop_export {
    const char *name;
    size_t arity;
    cop_fun_body body;
} cop_export;
/* name: the atom's text, "calculator" or, as Elixir would name it, "Elixir.Calculator".
   exports: ended by an entry without a name. */
typedef struct cop_module {
    const char *name;
    const cop_export *exports;
} cop_module;

/*
 * Makes a module's functions known; one that is known by the same name and arity is replaced.
 * Errors:  -EINVAL for a name that no atom can have, an arity above 255 or a missing body; nothing
 *          is loaded then
 * Context: any thread, also before the node starts; lasts as long as the program
 */
int cop_module_load(const cop_module *module);
/* True if a module of that name was loaded. Any thread; looks at all functions, so it is for error
   messages. Elixir: Code.loaded?/1. */
bool cop_module_is_loaded(cop_atom module);
/* The function of that name and arity, or NULL. Any thread. */
cop_fun_body cop_module_function(cop_atom module, cop_atom function, size_t arity);

/*
 * Calls a function by name with a list of arguments and returns what it returns.
 *
 * Elixir:  apply/3
 * Errors:  raises :undef, with {module, function, args, []} first in the stacktrace, when there is
 *          none; :badarg when args is no proper list
 */
cop_term cop_apply(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args);
/*
 * Spawns a process that calls a function by name, or a fun without arguments. opts may be NULL.
 *
 * Elixir:  Process.spawn/4, Process.spawn/2
 * Errors:  :badarg when args is no proper list or fun no fun. An unknown function, or a fun of
 *          another arity, is no error here: the process ends with {:undef, stacktrace} or
 *          {{:badarity, {fun, []}}, stacktrace}
 */
cop_spawned cop_spawn_mfa(cop_ctx *ctx, cop_atom module, cop_atom function, cop_term args,
                          const cop_spawn_opts *opts);
cop_spawned cop_spawn_fun(cop_ctx *ctx, cop_term fun, const cop_spawn_opts *opts);
/* Hibernates and goes on with a function by name; args as above. Elixir: Process.hibernate/3. */
_Noreturn void cop_process_hibernate_mfa(cop_ctx *ctx, cop_atom module, cop_atom function,
                                         cop_term args);

#endif
