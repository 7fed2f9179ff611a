/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_MATCH_SPEC_H
#define COPPICE_MATCH_SPEC_H

#include <coppice/term.h>

/*
 * Match specifications: patterns, conditions and results that are terms, so that they can be made at
 * run time and sent around. They are those of Erlang's ETS:
 *
 *     [{head, guards, body}, ...]
 *
 * An object is compared with one clause after another; the first whose head matches and whose
 * guards are all true decides: the value of its body's last expression is the result.
 *
 * Head:    :_ is anything; :"$0", :"$1" ... bind, and the same one twice must be === ; tuples and
 *          lists element by element; a map needs the keys of the pattern and may have others;
 *          anything else is compared with ===
 * Guards,  :"$N"; :"$_", the object; :"$$", the list of what was bound; {:const, term}; a tuple
 * body:    written {{a, b}}; lists and maps of expressions; {function, arg, ...}; else itself
 * Functions: < > =< >= == /= =:= =/= and or xor not andalso orelse + - * / div rem band bor bxor
 *          bnot bsl bsr abs round trunc float is_atom is_float is_integer is_list is_number is_pid
 *          is_port is_reference is_tuple is_map is_binary is_function is_record/3 is_map_key map_get
 *          map_size element hd tl length size byte_size bit_size binary_part node self
 * A guard that cannot be computed (1 + "x") is not true. In a body such a call's value is :EXIT.
 */

/*
 * Reads and checks a specification, once for any number of objects.
 *
 * Elixir:  :ets.match_spec_compile/1
 * Returns: the compiled one, a term that may be sent and kept; COP_NONE for what is none, and *why
 *          (may be NULL) is set to a text of static life
 */
cop_term cop_match_spec_compile(cop_ctx *ctx, cop_term spec, const char **why);
/*
 * One object against a compiled specification.
 *
 * Returns: false when no clause matches; else *result
 * Errors:  :badarg for a term that was not compiled
 */
bool cop_match_spec_match(cop_ctx *ctx, cop_term compiled, cop_term object, cop_term *result);
/* The results for those objects of a list that match, in its order; :badarg also for an improper
   list. Elixir: :ets.match_spec_run/2. */
cop_term cop_match_spec_run(cop_ctx *ctx, cop_term list, cop_term compiled);

#endif
