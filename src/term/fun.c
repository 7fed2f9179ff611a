/* SPDX-License-Identifier: Apache-2.0 */
/* Funs, resources, and addresses of other nodes. */
#include <coppice/module.h>

#include "os/alloc.h"
#include "term/layout.h"

cop_term cop_fun(cop_ctx *ctx, cop_fun_body body, size_t arity, cop_term env) {
    if (arity > 255 || body == NULL)
        cop__raise(ctx, cop_a(badarg).t);
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), 4);
    box[0] = cop__header(BOX_FUN, 3);
    box[1] = (uint64_t)(uintptr_t)body;
    box[2] = arity;
    box[3] = cop_is_none(env) ? COP__TAG_NIL : env.w;
    return cop__box_term(box);
}

bool cop_get_fun(cop_term fun, cop_fun_body *body, size_t *arity, cop_term *env) {
    if (!cop__is_kind(fun, BOX_FUN))
        return false;
    const uint64_t *box = cop__box(fun);
    *body = (cop_fun_body)(uintptr_t)box[1];
    *arity = (size_t)box[2];
    env->w = box[3];
    return true;
}

cop_term cop_fun_export(cop_ctx *ctx, cop_atom module, cop_atom function, size_t arity) {
    if (arity > 255)
        cop__raise(ctx, cop_a(badarg).t);
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), 4);
    box[0] = cop__header(BOX_EXPORT, 3);
    box[1] = module.t.w;
    box[2] = function.t.w;
    box[3] = arity;
    return cop__box_term(box);
}

bool cop_get_fun_export(cop_term fun, cop_atom *module, cop_atom *function, size_t *arity) {
    if (!cop__is_kind(fun, BOX_EXPORT))
        return false;
    uint64_t *box = cop__box(fun);
    module->t.w = box[1];
    function->t.w = box[2];
    *arity = (size_t)box[3];
    return true;
}

int64_t cop_fun_arity(cop_term fun) {
    if (cop__is_kind(fun, BOX_EXPORT))
        return (int64_t)cop__box(fun)[3];
    return cop__is_kind(fun, BOX_FUN) ? (int64_t)cop__box(fun)[2] : -1;
}

cop_term cop_fun_call_n(cop_ctx *ctx, cop_term fun, size_t argc, const cop_term *argv) {
    if (!cop_is_fun(fun))
        cop__raise(ctx, cop_tuple(ctx, cop_a(badfun), fun));
    uint64_t *box = cop__box(fun);
    if (cop__is_kind(fun, BOX_EXPORT) && box[3] == argc)
        return cop_apply(ctx, (cop_atom){ { box[1] } }, (cop_atom){ { box[2] } },
                         cop_list_n(ctx, argc, argv));
    if ((size_t)cop_fun_arity(fun) != argc)
        cop__raise(
            ctx, cop_tuple(ctx, cop_a(badarity), cop_tuple(ctx, fun, cop_list_n(ctx, argc, argv))));
    cop_fun_body body = (cop_fun_body)(uintptr_t)box[1];
    return body(ctx, (cop_term){ box[3] }, argc, argv);
}

cop_term cop_resource(cop_ctx *ctx, const cop_resource_type *type, void *object) {
    struct cop__heap *heap = cop__heap_of(ctx);
    cop__heap_hold(heap);
    struct cop__resource *resource = cop__malloc(sizeof *resource);
    *resource = (struct cop__resource){ .count = 1, .type = type, .object = object };
    uint64_t *box = cop__heap_alloc(heap, 3);
    box[0] = cop__header(BOX_RESOURCE, 2);
    box[2] = (uint64_t)(uintptr_t)resource;
    cop__heap_link_offheap(heap, (struct cop__offbox *)box);
    cop__heap_let(heap);
    return cop__box_term(box);
}

bool cop_get_resource(cop_term t, const cop_resource_type *type, void **object) {
    if (!cop_is_resource(t))
        return false;
    const struct cop__resource *resource = (struct cop__resource *)(uintptr_t)cop__box(t)[2];
    if (resource->type != type)
        return false;
    *object = resource->object;
    return true;
}

cop_term cop__external(cop_ctx *ctx, enum cop__box kind, cop_atom node, uint32_t creation,
                       size_t count, const uint32_t *numbers) {
    uint64_t *box = cop__heap_alloc(cop__heap_of(ctx), count + 3);
    box[0] = cop__header(kind, count + 2);
    box[1] = node.t.w;
    box[2] = creation;
    for (size_t i = 0; i < count; i++)
        box[3 + i] = numbers[i];
    return cop__box_term(box);
}
