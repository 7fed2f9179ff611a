# SPDX-License-Identifier: Apache-2.0
# The Elixir side of task.*; the sizes are those of bench/coppice/bench.h.
defmodule BenchTask do
  @tasks 100_000

  def main("task.async_await") do
    async_await(div(@tasks, 10))
    rate("task.async_await", fn -> async_await(@tasks) end)
  end

  def main("task.async_stream") do
    async_stream(div(@tasks, 10))
    rate("task.async_stream", fn -> async_stream(@tasks) end)
  end

  defp async_await(0), do: :ok
  defp async_await(n) do
    ^n = Task.await(Task.async(fn -> n end))
    async_await(n - 1)
  end

  defp async_stream(count) do
    sum = 1..count |> Task.async_stream(fn n -> n end) |> Enum.reduce(0, fn {:ok, n}, sum -> sum + n end)
    ^sum = div(count * (count + 1), 2)
  end

  defp rate(name, fun) do
    began = :erlang.monotonic_time(:nanosecond)
    fun.()
    took = :erlang.monotonic_time(:nanosecond) - began
    :io.format("~s ~.3f tasks/s~n", [name, @tasks * 1.0e9 / took])
  end
end
