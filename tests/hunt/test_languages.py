"""patalloc hunt on programs of other languages with a part in C, which forgets a field."""

import os
import subprocess
from pathlib import Path

import pytest
from test_everyday import hunt

PART = """
#include <stdlib.h>

struct row {
  int length;
  int flags;
};

struct row *parse_row(int length) {
  struct row *row = %s;
  row->length = length;
  return row;
}

int row_length(const struct row *row) {
  return row->flags & 1 ? -row->length : row->length;
}
"""
LINE = 10

RUST = """
#[repr(C)]
struct Row { _private: [u8; 0] }

#[link(name = "part", kind = "static")]
extern "C" {
    fn parse_row(length: i32) -> *mut Row;
    fn row_length(row: *const Row) -> i32;
}

fn total(lengths: &[i32]) -> i32 {
    lengths.iter().map(|&length| unsafe { row_length(parse_row(length)) }).sum()
}

fn main() {
    let words: Vec<String> = (0..100).map(|i| format!("word {}", i)).collect();
    println!("{} words, total {}", words.len(), total(&[3, 5, 8]));
}
"""

GO = """
package main

// struct row *parse_row(int);
// int row_length(const struct row *);
import "C"
import "fmt"

func main() {
	words := map[string]int{}
	for i := 0; i < 1000; i++ {
		words[fmt.Sprint("word ", i)] = i
	}
	total := 0
	for _, length := range []int{3, 5, 8} {
		total += int(C.row_length(C.parse_row(C.int(length))))
	}
	fmt.Println(len(words), "words, total", total)
}
"""


def run(directory: Path, *command: str, **environment: str) -> None:
    subprocess.run(command, cwd=directory, env=dict(os.environ) | environment, check=True)


def build_rust(directory: Path) -> Path:
    (directory / "main.rs").write_text(RUST)
    run(directory, "gcc", "-g", "-O1", "-fno-builtin", "-c", "part.c")
    run(directory, "ar", "rcs", "libpart.a", "part.o")
    run(directory, "rustc", "-g", "-L.", "-o", "main", "main.rs")
    return directory / "main"


def build_go(directory: Path) -> Path:
    (directory / "main.go").write_text(GO)
    flags = {"CGO_CFLAGS": "-g -O1 -fno-builtin", "GO111MODULE": "off"}
    run(directory, "go", "build", "-o", "main", GOCACHE=str(directory / "cache"), **flags)
    return directory / "main"


@pytest.mark.full
@pytest.mark.parametrize("wrong", [True, False])
@pytest.mark.parametrize("build", [build_rust, build_go])
def test_a_part_in_c(tmp_path: Path, build: object, wrong: bool) -> None:
    assert callable(build)
    make = "malloc(sizeof *row)" if wrong else "calloc(1, sizeof *row)"
    (tmp_path / "part.c").write_text(PART % make)
    status, found = hunt(tmp_path, build(tmp_path))
    assert status == (1 if wrong else 0), found
    assert len(found["findings"]) == wrong
    for finding in found["findings"]:
        assert f"part.c:{LINE} " in finding["culprits"][0]["stack"][0]
