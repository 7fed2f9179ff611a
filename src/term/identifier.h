/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COP__TERM_IDENTIFIER_H
#define COP__TERM_IDENTIFIER_H

#include <stdbool.h>
#include <stddef.h>

/* How an atom is written. */
enum cop__atom_form {
    ATOM_PLAIN,  /* :name, and name: as a key; operators too */
    ATOM_ALIAS,  /* Foo.Bar, for the name Elixir.Foo.Bar */
    ATOM_QUOTED, /* :"any text" */
};
enum cop__atom_form cop__atom_form(const char *name, size_t size);

/* May the name of a function be written without quotes, as in Foo.name? */
bool cop__is_callable(const char *name, size_t size);
/* The length of the longest operator that begins the text, or 0. */
size_t cop__operator_length(const char *text, size_t size);
/* The length of the alias (Foo.Bar, without the prefix "Elixir.") that begins the text, or 0. */
size_t cop__alias_length(const char *text, size_t size);

#endif
