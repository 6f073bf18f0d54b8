from attentive_gconv.bench import Case, Figure, Quartiles, table


def figure(case: Case, what: str, samples: list[float], **more) -> Figure:
    return Figure(case, what, samples=samples, unit="B" if what == "memory" else "s", **more)


PLAIN, ALPHA = Case("p4cnn", batch=4), Case("alpha_p4cnn", batch=4)


def test_rows_are_cases_and_columns_measurements():
    found = table(
        [
            figure(PLAIN, "train", [0.010, 0.012, 0.014]),
            figure(ALPHA, "train", [0.030, 0.048, 0.070], baseline="p4cnn", ratio=Quartiles(3.5, 4.0, 4.5)),
            figure(PLAIN, "inference", [0.004]),
            figure(ALPHA, "inference", [0.008], baseline="p4cnn", ratio=Quartiles(2, 2, 2)),
            figure(PLAIN, "memory", [20e6]),
            figure(ALPHA, "memory", [50e6], baseline="p4cnn", extra=30e6),
        ]
    )
    assert found.headings == [
        *("network", "step, ms", "x p4cnn", "inference per sample, ms", "x p4cnn", "peak, MB", "over p4cnn, MB")
    ]
    assert found.rows == [
        ["p4cnn", "12 (11–13)", "–", "1", "–", "20", "–"],
        ["alpha_p4cnn", "48 (39–59)", "4.00 (3.50–4.50)", "2", "2.00", "50", "30"],
    ]
    assert found.markdown().splitlines()[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"


def test_sizes_that_vary_have_columns_and_errors_are_shown():
    large = Case("alpha_p4cnn", batch=128)
    found = table([figure(ALPHA, "train", [1.5]), Figure(large, "train", error="killed")])
    assert found.headings == ["network", "batch", "step, s"]
    assert found.rows == [["alpha_p4cnn", "4", "1.5"], ["alpha_p4cnn", "128", "killed"]]


def test_allocators_stand_side_by_side():
    found = table([figure(PLAIN, "train", [0.1]), figure(PLAIN, "train", [0.05], allocator="tuned")])
    assert found.headings == ["network", "step, ms (default)", "step, ms (tuned)"]
    assert found.rows == [["p4cnn", "100", "50"]]


def test_large_memory_is_in_gibibytes():
    assert table([figure(PLAIN, "memory", [3 * 2**30])]).headings == ["network", "peak, GiB"]
