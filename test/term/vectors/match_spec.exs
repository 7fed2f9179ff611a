# SPDX-License-Identifier: Apache-2.0
# Writes match_spec.inc, the expected values of match_spec_test.c, from the real thing:
#
#     elixir test/term/vectors/match_spec.exs > test/term/vectors/match_spec.inc
#
# The file that is checked in was made by Elixir 1.14.0 on OTP 25. Each line: a specification, an
# object, and what :ets.match_spec_run([object], :ets.match_spec_compile(spec)) gives; "error" is an
# ArgumentError from the compilation.
show = fn t -> inspect(t, limit: :infinity, printable_limit: :infinity, charlists: :as_lists) end
c = fn s -> "\"" <> (for <<b <- s>>, into: "" do
  cond do
    b == ?" -> "\\\""
    b == ?\\ -> "\\\\"
    b == ?? -> "\\?"
    b >= 32 and b < 127 -> <<b>>
    true -> "\\" <> String.pad_leading(Integer.to_string(b, 8), 3, "0")
  end
end) <> "\"" end
run = fn spec, object ->
  try do
    show.(:ets.match_spec_run([object], :ets.match_spec_compile(spec)))
  rescue
    ArgumentError -> "error"
  end
end
out = fn spec, object -> IO.puts("    { #{c.(show.(spec))}, #{c.(show.(object))}, #{c.(run.(spec, object))} },") end
IO.puts("/* Written by match_spec.exs; do not edit. */")
IO.puts("static const struct {\n    const char *spec, *object, *result;\n} specs[] = {")

big = 1180591620717411303424
v = :"$1"
# patterns
patterns = [:_, v, :"$0", :foo, {}, {1}, {1.0}, {v}, {v, v}, {v, :"$2"}, {:_, :_}, {:"$a"}, {:"$01"}, {:"$"}, [], [v], [v | :"$2"],
  [:_ | :_], [1, v, 3], {v, [v]}, %{}, %{a: v}, %{a: 1, b: v}, %{a: %{b: v}}, %{v => 1}, %{:_ => 1}, %{{v} => 1}, %{1 => v},
  "abc", {"abc", v}, {big}, {big, v}, {{v, :"$2"}, [:"$3" | v]}, {:"$12", :"$3", :"$2"}, {0.0}, {-0.0}, :"$99999999",
  {v, {v, {v, v}}}, [{:_, v}, {:_, v}], [[[]]], [[[v]]]]
objects = [:foo, 1, 1.0, {}, {1}, {1.0}, {:"$a"}, {:"$01"}, {1, 1}, {1, 1.0}, {1, 2}, {"abc", "abc"}, [], [1], [1, 2, 3], [1 | 2], {1, [1]},
  %{}, %{a: 1}, %{a: 1, b: 2, c: 3}, %{a: %{b: 1, c: 2}}, %{1 => 1}, %{{1} => 1}, "abc", {big}, {big, big}, {{1, 2}, [3 | 1]},
  {7, 8, 9}, {0.0}, {-0.0}, {0.0, -0.0}, {1, {1, {1, 1}}}, {1, {1, {1, 2}}}, [{1, 2}, {3, 2}], [{1, 2}, {3, 4}], [[[]]], [[[1]]],
  Map.new(1..40, &{&1, &1})]
for p <- patterns, o <- objects do
  if run.([{p, [], [:"$$"]}], o) not in ["[]"] or :erlang.phash2({p, o}, 12) == 0 do
    out.([{p, [], [:"$$"]}], o)
  end
end
for p <- patterns, o <- [{1}, {1, 2}], do: out.([{p, [], [:"$_"]}], o)

# expressions, in a guard and in a body, over {a, b}
e = fn x, o -> out.([{{v, :"$2"}, [], [x]}], o); out.([{{v, :"$2"}, [x], [:yes]}], o) end
values = [1, -7, 2.5, -2.5, 0, 0.0, big, -big, 576460752303423487, -576460752303423488, 9223372036854775807, :a, true, false, "abc", <<5::3>>, [], [1, 2], [1 | 2],
  {}, {1, 2}, %{}, %{a: 1}, 1.0e308, 4]
unary = [:is_atom, :is_float, :is_integer, :is_list, :is_number, :is_pid, :is_port, :is_reference, :is_tuple, :is_map, :is_binary,
  :is_function, :hd, :tl, :length, :size, :byte_size, :bit_size, :map_size, :node, :abs, :round, :trunc, :float, :bnot, :not, :-, :+,
  :and, :or, :andalso, :orelse]
for op <- unary, x <- values, :erlang.phash2({op, x}, 2) == 0, do: out.([{{v}, [], [{op, v}]}], {x})
for op <- unary, x <- [true, 1, [1], {1}], do: out.([{{v}, [{op, v}], [1]}], {x})
binary = [:>, :<, :>=, :"=<", :==, :"/=", :"=:=", :"=/=", :and, :or, :xor, :andalso, :orelse, :+, :-, :*, :/, :div, :rem, :band, :bor, :bxor,
  :element, :map_get, :is_map_key]
for op <- binary, x <- values, y <- values, :erlang.phash2({op, x, y}, 24) == 0, do: out.([{{v, :"$2"}, [], [{op, v, :"$2"}]}], {x, y})
for op <- binary, {x, y} <- [{1, {5, 6}}, {2, {5, 6}}, {3, {5, 6}}, {0, {5, 6}}, {:a, %{a: 1}}, {:b, %{a: 1}}, {1, 1.0}, {1, 1},
  {true, true}, {true, false}, {false, true}, {false, false}, {true, 1}, {false, 1}, {1, true}], do: e.({op, v, :"$2"}, {x, y})
nums = [0, 1, -1, 2, -2, 3, 10, -10, 64, 1000, 576460752303423487, 576460752303423488, -576460752303423488, -576460752303423489, 9223372036854775807,
  -9223372036854775808, 18446744073709551615, 18446744073709551616, -18446744073709551616, big, -big, big * big + 12345, -(big * big) - 777,
  340282366920938463463374607431768211455, 2.0, -0.5, 1.0e300]
for op <- [:+, :-, :*, :/, :div, :rem, :band, :bor, :bxor], x <- nums, y <- nums, :erlang.phash2({op, x, y, 1}, 10) == 0,
  do: out.([{{v, :"$2"}, [], [{op, v, :"$2"}]}], {x, y})
for op <- [:bsl, :bsr], x <- nums, y <- [0, 1, -1, 3, 63, 64, 65, 130, -64, -65, -200, 2.0, big, -big], :erlang.phash2({op, x, y}, 3) == 0, do: out.([{{v, :"$2"}, [], [{op, v, :"$2"}]}], {x, y})
for x <- nums, op <- [:-, :abs, :bnot, :round, :trunc, :float], do: out.([{{v}, [], [{op, v}]}], {x})
for x <- [1.0e15, 1.5, -1.5, 0.49999999999999994, 4503599627370497.5, 9007199254740993.0, -1.0e22, 1.2345e25, 5.0e-324], op <- [:round, :trunc], do: out.([{{v}, [], [{op, v}]}], {x})

# composition
for x <- [{{}}, {}, {v}, {{v}}, {{v, {{:"$2"}}}}, {{v}, 1}, [v, :"$2"], [v | :"$2"], [[v], {:+, v, 1}], %{v => :"$2"}, %{k: {:+, v, 1}}, %{a: 1, b: %{c: v}},
  {:const, v}, {:const, {:x, v}}, {:const, v, 1}, {:const}, :"$_", :"$$", :"$3", {:is_atom, :"$3"}, :_, :"$*", :"$01", "abc", 1.5, [], {:self, 1}, {:node}, {:node, v}, {:element, 1, :"$_"}, {:element, 2, :"$_"},
  {:hd, :"$$"}, {:length, :"$$"}, {:hd, []}, {{v, {:hd, []}}}, [1, {:hd, []}], %{a: {:hd, []}}, {:+, {:hd, []}, 1}, {:is_atom, {:hd, []}}, {:and, {:hd, []}, true}, {:andalso, {:hd, []}, true},
  {:andalso, true, {:hd, []}}, {:orelse, true, {:hd, []}}, {:orelse, false, {:hd, []}}, {:andalso, true, true, false, {:hd, []}}, {:orelse, false, false, true, {:hd, []}}, {:andalso, true, 1, true}, {:andalso, true, true, 3},
  {:and, true, true, true}, {:and, true, false, 1}, {:or, false, false, true}, {:or, true, 1}, {:xor, true, true, true}, {:xor, true}, {:and}, {:or}, {:andalso}, {:orelse}, {:not}, {:not, true, true},
  {:not, {:andalso, {:is_integer, v}, {:>, v, 0}}}, {:andalso, {:orelse, false, true}, {:andalso, true, {:>, v, 0}}}, {:==, v, {:const, :"$1"}},
  {:is_record, v, :a, 2}, {:is_record, {{:a, 1}}, :a, 2}, {:is_record, {{:a, 1}}, {:const, :a}, 2}, {:is_record, {{:a, 1}}, :a, 3}, {:is_record, {{:a, 1}}, :b, 2}, {:is_record, {:const, {:a, 1}}, :a, 2}, {:is_record, v, :a}, {:is_record, v, v, 2}, {:is_record, v, :"$5", 2}, {:is_record, v, :a, v}, {:is_record, v, "a", 2}, {:is_record, v, :a, -1}, {:is_record, v, :a, 2.0},
  {:+, 1, 2, 3}, {:+}, {:>, 1}, {:>, 1, 2, 3}, {:foo, 1}, {:foo}, {:!=, 1, 2}, {:<=, 1, 2}, {:===, 1, 2}, {:!==, 1, 2}, {"x", 1}, {1, 2}, {[], 1}, {:is_function, v, 1}, {:binary_part, "abcdef", 1, 2}, {:binary_part, "abcdef", {{1, 2}}}, {:binary_part, "abc", 2, 2}, {:binary_part, "abc", 3, -2}, {:binary_part, v, 0, 0},
  true, false, [true], {{true}}, {:const, true}, {:message, 1}, {:return_trace}, {:get_tcw}, {:display, 1}, {:is_seq_trace}, {:caller}],
  o <- [{1, 2}, {true, 2}], do: e.(x, o)
# whole specifications
for s <- [[], 1, :a, [1], [{1}], [{{1}, []}], [{{1}, [], [], []}], [{{1}, [], []}], [{{1}, [], 1}], [{{1}, 1, [1]}], [{{1}, :a, [1]}], [{{1}, [], [1 | 2]}], [{{1}, [true | 2], [1]}], [{{1}, [], [1]} | 1],
  [{{1}, [], [:a]}, {{:_}, [], [:b]}], [{{2}, [], [:a]}, {{:_}, [], [:b]}], [{{:_}, [false], [:a]}, {{:_}, [], [:b]}], [{{:_}, [{:hd, []}], [:a]}, {{:_}, [true], [:b]}], [{{v}, [true, true, true], [1, v, {{v}}]}],
  [{{v}, [true, false, true], [1]}], [{{v}, [true, 1], [1]}], [{{v}, [{:>, v, 0}, {:<, v, 2}], [v]}], [{{2}, [], [:a]}, {{1}, [], []}], [{{2}, [], [:a]}, {{1}, [:"$1"], [1]}], [{{2}, [], [:a]}, {{3}, [], [:b]}], [{%{}, [], [1]}, {:_, [], [2]}],
  [{v, [{:is_tuple, v}], [v]}], [{v, [], [:"$2"]}]],
  o <- [{1}, {2}], do: out.(s, o)
deep = fn n, x -> Enum.reduce(1..n, x, fn _, a -> {a} end) end
for n <- [1, 30], do: out.([{deep.(n, v), [], [v]}], deep.(n, 7))
out.([{v, [], [Enum.reduce(1..60, v, fn _, a -> {:+, a, 1} end)]}], 1)
out.([{List.to_tuple(for i <- 1..100, do: :"$#{i}"), [], [:"$$"]}], List.to_tuple(Enum.to_list(1..100)))
IO.puts("};")
