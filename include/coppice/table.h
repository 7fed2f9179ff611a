/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COPPICE_TABLE_H
#define COPPICE_TABLE_H

#include <coppice/match_spec.h>
#include <coppice/process.h>

/*
 * Tables: terms that processes share. A row is a key, a value, and the process that owns it; rows are
 * found by key and by owner. Reading takes no lock and asks no process, so readers on different
 * cores do not hinder each other; writing locks a part of the table for moments.
 *
 * Elixir:  :ets, with owners for rows
 *
 * Keys compare with ===. In a unique table a key has one row, in a duplicate one any number, in the
 * order in which they came. A row says who owns it; it does not go when its owner ends: somebody who
 * is linked to the owner takes it away (cop_table_remove). Until then reading skips it, unless
 * asked not to: what is read never names a process that the reader has seen die.
 * To a match specification a row is the object {key, {owner, value}}; owner is nil for a row of nobody's.
 *
 * While others change the table, a reader sees each row that is there all the time exactly once.
 * Everything read is a copy on the caller's heap. Removing a row costs the same however many rows
 * have its key.
 */
typedef struct cop_table {
    uint64_t id; /* 0: none. Fits an integer term, by which it may be sent. */
} cop_table;

/* name: under which every process finds it, or none; duplicate: not unique. */
typedef struct cop_table_opts {
    cop_atom name;
    bool duplicate;
} cop_table_opts;

typedef enum cop_table_status {
    COP_TABLE_OK,
    COP_TABLE_TAKEN,   /* the key has a row */
    COP_TABLE_MISSING, /* there is no such row */
    COP_TABLE_GONE,    /* there is no such table */
} cop_table_status;

/*
 * Makes an empty table. It ends with the calling process. opts may be NULL.
 *
 * Errors:  :badarg for a name that another table of a live process has; :system_limit beyond
 *          65,536 tables
 */
cop_table cop_table_new(cop_ctx *ctx, const cop_table_opts *opts);
/* Ends a table now; false if there is none. Any process may. */
bool cop_table_delete(cop_ctx *ctx, cop_table table);
/* The table of that name; id 0 if none. O(1), no lock. */
cop_table cop_table_whereis(cop_ctx *ctx, cop_atom name);

/*
 * Adds a row. `owner` is a process of this node, usually the caller.
 *
 * Returns: OK; in a unique table TAKEN, with *holder (may be NULL) the owner of the key's row, be it
 *          alive or not; GONE
 */
cop_table_status cop_table_insert(cop_ctx *ctx, cop_table table, cop_pid owner, cop_term key,
                                  cop_term value, cop_pid *holder);
/* Gives the row of this key and owner another value, in a unique table; MISSING if it has none. */
cop_table_status cop_table_replace(cop_ctx *ctx, cop_table table, cop_pid owner, cop_term key,
                                   cop_term value);
/* Adds or replaces the row of this key that nobody owns, in a unique table; TAKEN if somebody does. */
cop_table_status cop_table_put(cop_ctx *ctx, cop_table table, cop_term key, cop_term value);
/* The first row of a key, its owner alive or not: MISSING, or OK with *owner (COP_NONE inside for a row
   of nobody's; may be NULL) and *value (may be NULL). */
cop_table_status cop_table_get(cop_ctx *ctx, cop_table table, cop_term key, cop_pid *owner,
                               cop_term *value);

/* The rows of a key whose owners live, as [{owner, value}] in the order in which they came; *list is []
   if there are none, or GONE. Elixir: :ets.lookup/2. */
cop_table_status cop_table_lookup(cop_ctx *ctx, cop_table table, cop_term key, cop_term *list);

typedef enum cop_table_what {
    COP_TABLE_ENTRIES, /* {owner, value} */
    COP_TABLE_KEYS,
    COP_TABLE_VALUES,
} cop_table_what;

/*
 * Which rows, and what of each. A zeroed field does not restrict.
 *   key        those with this key
 *   owner      those of this process
 *   spec       a compiled match specification: those that match; it also says what is read
 *   what       what is read without a spec
 *   with_dead  also rows whose owner is dead (counting them all is O(1) for one key or owner)
 */
typedef struct cop_table_query {
    cop_term key;
    cop_pid owner;
    cop_term spec;
    cop_table_what what;
    bool with_dead;
} cop_table_query;

/*
 * Reads rows as a list. With a key or an owner only its rows are looked at, in the order in which
 * they came; else all, in no order.
 *
 * Elixir:  :ets.lookup/2, :ets.select/2
 * Returns: OK with *list, or GONE
 * Errors:  :badarg for a spec that was not compiled
 */
cop_table_status cop_table_read(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                cop_term *list);
/* How many rows; with a spec those for which its result is true. Elixir: :ets.select_count/2. */
cop_table_status cop_table_count(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                 size_t *count);
/*
 * Removes rows: those of query->owner, or if it has none the rows of nobody's; with a spec those for
 * which its result is true. Dead owners' rows too.
 *
 * Elixir:  :ets.select_delete/2
 * Returns: OK with how many were removed (may be NULL), or GONE
 * Context: O(rows of the owner)
 */
cop_table_status cop_table_remove(cop_ctx *ctx, cop_table table, const cop_table_query *query,
                                  size_t *removed);

#endif
