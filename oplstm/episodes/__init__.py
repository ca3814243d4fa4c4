"""Where tasks come from: episodes, counter-based task streams, and the benchmarks that generate them."""
