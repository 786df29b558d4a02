"""Reading many budgets at once never shows what this process has changed since, and never an old absence."""

import threading
from collections.abc import Iterator

from outlay.v1.budget_pb2 import Budget
from outlay_terraform.reader import FEW, FRESH_SECONDS, BudgetReader

PARENT = "organizations/acme"


class Books:
    """The service: budgets by name, and how often it was asked."""

    def __init__(self, count: int) -> None:
        self.budgets = {f"{PARENT}/budgets/b{index}": "old" for index in range(count)}
        self.reads = 0
        self.lists = 0
        self.now = 100.0

    def one(self, name: str) -> Budget:
        self.reads += 1
        return Budget(name=name, display_name=self.budgets[name])

    def all(self, parent: str) -> Iterator[Budget]:
        assert parent == PARENT
        self.lists += 1
        found = [Budget(name=name, display_name=text) for name, text in self.budgets.items()]
        return iter(found)

    def reader(self) -> BudgetReader:
        return BudgetReader(self.one, self.all, lambda: self.now)


def test_few_are_read_one_by_one_and_many_at_once() -> None:
    books = Books(100)
    reader = books.reader()
    assert {reader.get(name).name for name in books.budgets} == set(books.budgets)
    assert (books.reads, books.lists) == (FEW, 1)


def test_what_was_read_is_not_shown_for_long() -> None:
    books = Books(100)
    reader = books.reader()
    (first, *_) = [reader.get(name).name for name in books.budgets]
    books.budgets[first] = "new"
    assert reader.get(first).display_name == "old"
    books.now += FRESH_SECONDS
    assert reader.get(first).display_name == "new"


def test_a_change_of_this_process_is_seen_at_once() -> None:
    books = Books(100)
    reader = books.reader()
    (first, *_) = [reader.get(name).name for name in books.budgets]
    reader.forget(first)
    books.budgets[first] = "new"
    assert reader.get(first).display_name == "new"


def test_a_list_that_a_change_overtook_is_not_kept() -> None:
    """It was begun before the change and ended after it."""
    books = Books(FEW + 1)
    first, *_, last = books.budgets

    def overtaken(parent: str) -> list[Budget]:
        found = list(books.all(parent))
        reader.forget(first)
        books.budgets[first] = "new"
        return found

    reader = BudgetReader(books.one, overtaken, lambda: books.now)
    for name in books.budgets:
        reader.get(name)
    assert reader.get(last).name == last
    assert books.lists == 2
    assert reader.get(first).display_name == "new"


def test_what_is_in_no_list_is_asked_for_by_itself() -> None:
    """So that it is the service that says what is not there."""
    books = Books(100)
    reader = books.reader()
    for name in list(books.budgets):
        reader.get(name)
    late = f"{PARENT}/budgets/late"
    books.budgets[late] = "new"
    reads = books.reads
    assert reader.get(late).display_name == "new"
    assert books.reads == reads + 1


def test_readers_of_the_same_moment_share_one_list() -> None:
    books = Books(FEW + 40)
    reader = books.reader()
    names = list(books.budgets)
    for name in names[:FEW]:
        reader.get(name)
    threads = [threading.Thread(target=reader.get, args=(name,)) for name in names[FEW:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books.lists == 1
