# SPDX-License-Identifier: Apache-2.0
# Writes vectors.inc, the expected values of vectors_test.c, from the real thing:
#
#     elixir test/term/vectors/make.exs > test/term/vectors/vectors.inc
#
# The file that is checked in was made by Elixir 1.14.0 on OTP 25.
full = fn t -> inspect(t, limit: :infinity, printable_limit: :infinity) end
c = fn s -> "\"" <> (for <<b <- s>>, into: "" do
  cond do
    b == ?" -> "\\\""
    b == ?\\ -> "\\\\"
    b == ?? -> "\\?"
    b >= 32 and b < 127 -> <<b>>
    true -> "\\" <> String.pad_leading(Integer.to_string(b, 8), 3, "0")
  end
end) <> "\"" end

ints = [0, 1, -1, 2, 7, 10, 100, -100, 255, 256, 1000, 65535, 65536, 134217727, 134217728, -134217728,
  -134217729, 268435455, 2147483647, 2147483648, -2147483648, -2147483649, 4294967295, 4294967296,
  576460752303423487, 576460752303423488, -576460752303423488, -576460752303423489,
  1152921504606846975, 9223372036854775807, 9223372036854775808, -9223372036854775808,
  18446744073709551615, 18446744073709551616, 340282366920938463463374607431768211456,
  -340282366920938463463374607431768211456, 123456789012345678901234567890,
  -98765432109876543210987654321098765432109876543210]
floats = [0.0, 1.0, -1.0, 1.5, 0.1, -0.1, 3.141592653589793, 1.0e10, 1.0e15, 1.0e16, 1.0e100, 1.0e-10,
  5.0e-324, 1.7976931348623157e308, 123456789.0, 0.001, 1.2e-4, 12345.678, 9007199254740992.0,
  2.5e-7, 100.0, -273.15]
atoms = [:a, :ok, :error, true, false, nil, :"", :"foo bar", :foo?, :foo!, :Foo, Foo, Foo.Bar, :"Elixir.foo",
  :é, :größe, :日本, :+, :-, :&&, :|>, :"$gen_call", :"1a", :"a-b", :a@b, :_x, :{}, :%{}, :<<>>, :.., :and,
  :"with\"quote", :"new\nline", String.to_atom(String.duplicate("x", 100))]
bins = ["", "a", "hello", "hello world", "é", "日本語", "tab\tnew\nline", "quote\"back\\slash", "\#{x}", "\e\d\a\b\v\f\r",
  <<0>>, <<255>>, <<1, 2, 3>>, <<0, 255, 128>>, "mixed" <> <<0>>, String.duplicate("ab", 32),
  String.duplicate("x", 63), String.duplicate("x", 64), String.duplicate("x", 65),
  String.duplicate("0123456789", 20), :binary.copy(<<7>>, 12), :binary.copy(<<9>>, 11), <<200, 201>>]
bits = [<<1::1>>, <<5::3>>, <<1, 2::2>>, <<255, 1::7>>, <<"abc", 3::4>>]
lists = [[], [1], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [256], [255, 256], [300, 1, 2], [1, 2, 300, 4, :a], [:a],
  [[]], [[], []], [[[]], [[1]]], [1 | 2], [1, 2 | 3], [:a | :b], [[1 | 2] | 3], 'abc', 'hello world', 'it\'s',
  '\a\b\n', [0], [a: 1], [a: 1, b: "x"], ["foo bar": 1], [+: 1], [nil: 1, true: 2], [{:a, 1}, 2], [{Foo, 1}],
  [1.0, 2, "three", :four, {5}], Enum.to_list(1..100), Enum.to_list(250..270), ["a", "b", ["c"]],
  Enum.reduce(1..60, [], fn i, acc -> [i, acc] end), [-1], [-1, 1], [1, -1]]
tuples = [{}, {1}, {:a}, {:ok, 1}, {:ok, "x", [1]}, {{}, {}}, {{{1}}}, {1, {2, {3, {4}}}}, {:a, :b, :c, :d},
  List.to_tuple(Enum.to_list(1..30)), {nil}, {[], []}, {"a", 'a', :a}, {1.5, -1}]
maps = [%{}, %{a: 1}, %{a: 1, b: 2}, %{"k" => 1}, %{1 => 2, 3 => 4}, %{1 => 2, :a => 3}, %{1 => :a, 1.0 => :b},
  %{%{} => %{}}, %{[] => {}}, %{a: %{b: %{c: 1}}}, %{"foo bar" => 1, x: 2}, %{"a b": 1}, %{nil => 1}, %{Foo => 1},
  Map.new(1..32, &{&1, &1 * &1}), Map.new(1..33, &{&1, &1 * &1}), Map.new(1..100, &{&1, &1}),
  Map.new(1..40, &{"key#{&1}", &1}), Map.new(1..64, &{{&1}, [&1]}), %{{1, 2} => "t", "s" => 'c', 1.5 => nil}]
base = ints ++ floats ++ atoms ++ bins ++ bits ++ lists ++ tuples ++ maps
nested = Enum.map(Enum.take_every(base, 3), &{:x, &1}) ++ Enum.map(Enum.take_every(tl(base), 3), &[&1, &1]) ++
  Enum.map(Enum.take_every(tl(tl(base)), 3), &%{k: &1, v: [&1]})
all = base ++ nested
# Maps of more than 32 keys print in an order that is nobody's promise.
large = fn large, t ->
  cond do
    is_map(t) -> map_size(t) > 32 or Enum.any?(t, fn {k, v} -> large.(large, k) or large.(large, v) end)
    is_tuple(t) -> large.(large, Tuple.to_list(t))
    is_list(t) and t != [] -> large.(large, hd(t)) or large.(large, tl(t))
    true -> false
  end
end
IO.puts("/* Made by make.exs with Elixir #{System.version()} on OTP #{System.otp_release()}. */")
IO.puts("static const struct { const char *text; uint32_t hash27, hash32, hash1000; bool in_order; } hashes[] = {")
for t <- all, do: IO.puts("    { #{c.(full.(t))}, #{:erlang.phash2(t)}u, #{:erlang.phash2(t, 4294967296)}u, #{:erlang.phash2(t, 1000)}u, #{not large.(large, t)} },")
IO.puts("};")

mixed = [0, 1, -1, 1.0, 1.5, 2, 100, 1.0e3, 1000, 576460752303423488, -576460752303423489, 5.764607523034235e17,
  9007199254740993, 9007199254740992.0, 1.0e300, 340282366920938463463374607431768211456, -0.5, :a, :b, :aa, :B, true, nil,
  :"", :é, {}, {1}, {1.0}, {2}, {:a}, {1, 2}, {:b, 1}, %{}, %{a: 1}, %{a: 2}, %{b: 0}, %{1 => :a}, %{1.0 => :a},
  %{a: 1, b: 2}, Map.new(1..40, &{&1, 0}), Map.new(1..40, &{&1, 1}), [], [1], [1.0], [1, 2], [1 | 2], [:a], [[]], 'ab', "", "a",
  "aa", "b", "é", <<255>>, <<1::1>>, <<5::3>>, <<"a", 1::1>>, String.duplicate("x", 70), String.duplicate("x", 71)]
60 = length(mixed)
sorted = Enum.sort(mixed)
groups = Enum.scan(Enum.zip(sorted, [nil | sorted]) |> Enum.with_index(), {0, nil}, fn {{t, p}, i}, {g, _} ->
  {(if i > 0 and t == p, do: g, else: g + 1), t} end)
IO.puts("/* In order; terms of one group are ==. */")
IO.puts("static const struct { const char *text; int group; } sorted[] = {")
for {g, t} <- groups, do: IO.puts("    { #{c.(full.(t))}, #{g} },")
IO.puts("};")

limited = [{Enum.to_list(1..60), []}, {%{a: Enum.to_list(1..30), b: Enum.to_list(1..60)}, []}, {{1, 2, 3, 4}, [limit: 2]},
  {"abcdefgh", [printable_limit: 3]}, {String.duplicate("a", 70), [limit: 2]}, {<<255, 1, 2, 3>>, [limit: 2]},
  {%{a: 1, b: 2, c: 3}, [limit: 2]}, {[[1, 2, 3], [4, 5]], [limit: 3]}, {{:a, {:b, {:c, [1, [2, [3]]]}}}, [limit: 3]},
  {'abcdef', [limit: 2]}, {[a: 1, b: 2, c: 3], [limit: 1]}, {String.duplicate("é", 5000), []}, {List.to_tuple(Enum.to_list(1..55)), []},
  {[1, 2 | 3], [limit: 1]}]
IO.puts("static const struct { const char *text, *shown; long limit, printable; } limited[] = {")
for {t, o} <- limited, do: IO.puts("    { #{c.(full.(t))}, #{c.(inspect(t, o))}, #{o[:limit] || 0}, #{o[:printable_limit] || 0} },")
IO.puts("};")
