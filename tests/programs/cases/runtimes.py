"""node, java, Rust, Go: programs with run times of their own."""

import os
import subprocess

from program_case import PATH, Case, missing_programs, write


class Node(Case):
    name = "node"
    packages = ("nodejs",)
    least_allocations = 5_000

    def missing(self):
        return missing_programs("node")

    def prepare(self, work):
        write(f"{work}/work.js", f"""
const {{ Worker, isMainThread, parentPort, workerData }} = require('worker_threads');
const {{ execFileSync }} = require('child_process');
const zlib = require('zlib'), crypto = require('crypto'), fs = require('fs');
function digest(seed) {{
  const hash = crypto.createHash('sha256');
  for (let i = 0; i < {self.by_size(20, 400)}; ++i) {{
    const rows = Array.from({{ length: 200 }}, (_, n) => ({{ n: n * seed + i, text: 'x'.repeat(n % 50) }}));
    hash.update(zlib.gzipSync(JSON.stringify(rows)));
  }}
  return hash.digest('hex');
}}
if (isMainThread) {{
  console.log('main', digest(1));
  const workers = [2, 3, 4].map(seed => new Promise((resolve, reject) =>
    new Worker(__filename, {{ workerData: seed }}).on('message', resolve).on('error', reject)));
  Promise.all(workers).then(all => {{
    console.log('workers', all.join(' '));
    console.log(execFileSync(process.execPath, ['-p', '6 * 7']).toString());
    let depth = 0; const deeper = () => {{ ++depth; deeper(); }};
    try {{ deeper(); }} catch (error) {{ console.log(error instanceof RangeError, depth > 1000); }}
    fs.writeFileSync('out.bin', Buffer.alloc(1 << 20, digest(5)));
    process.exitCode = 3;
  }});
}} else parentPort.postMessage(digest(workerData));
""")

    exit_status = 3
    least_processes = 2

    def command(self, work):
        return ["node", "work.js"]


class Java(Case):
    name = "java"
    packages = ("default-jdk-headless",)
    least_allocations = 10_000
    least_processes = 3

    def missing(self):
        return missing_programs("java", "javac")

    def prepare(self, work):
        write(f"{work}/Work.java", f"""
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import java.util.zip.*;

public class Work {{
  static int depth = 0;
  static void deeper() {{ ++depth; deeper(); }}

  static long digest(int seed) {{
    CRC32 crc = new CRC32();
    for (int i = 0; i < {self.by_size(50, 2000)}; ++i) {{
      String text = IntStream.range(0, 200).mapToObj(n -> n * seed + ":" + n)
          .collect(Collectors.joining(","));
      crc.update(text.getBytes());
    }}
    return crc.getValue();
  }}

  public static void main(String[] arguments) throws Exception {{
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<Long>> futures = new ArrayList<>();
    for (int i = 0; i < 32; ++i) {{ final int seed = i; futures.add(pool.submit(() -> digest(seed))); }}
    long sum = 0;
    for (Future<Long> future : futures) sum += future.get();
    pool.shutdown();
    System.out.println("sum " + sum);
    try {{ deeper(); }} catch (StackOverflowError error) {{ System.out.println("deep " + (depth > 1000)); }}
    // Implicit null checks: the machine's SIGSEGV is the virtual machine's own business.
    int caught = 0;
    for (int i = 0; i < 100000; ++i) {{
      Object[] nothing = i % 10 == 0 ? null : new Object[i % 64];
      try {{ caught += nothing.length & 0; }} catch (NullPointerException error) {{ ++caught; }}
    }}
    System.out.println("caught " + caught);
    // Off the heap: malloc below.
    List<java.nio.ByteBuffer> direct = new ArrayList<>();
    for (int i = 1; i < 200; ++i) direct.add(java.nio.ByteBuffer.allocateDirect(i * 1024));
    Deflater deflater = new Deflater();
    deflater.setInput(new byte[1 << 20]); deflater.finish();
    System.out.println("deflated " + deflater.deflate(new byte[1 << 16]));
    System.gc();
    System.exit(7);
  }}
}}
""")

    exit_status = 7

    def command(self, work):
        return ["sh", "-ec", "javac Work.java; exec java -Xmx256m Work"]


class Rust(Case):
    name = "rust"
    packages = ("rustc",)
    least_allocations = 100_000
    least_processes = 3

    def missing(self):
        return missing_programs("rustc")

    def prepare(self, work):
        write(f"{work}/work.rs", f"""
use std::collections::{{BTreeMap, HashMap}};
use std::sync::{{mpsc, Arc, Mutex}};
use std::thread;

fn digest(seed: u64) -> u64 {{
    let mut state = seed.wrapping_add(1);
    let mut words: HashMap<String, Vec<u64>> = HashMap::new();
    for number in 0..{self.by_size(2000, 60000)}u64 {{
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        words.entry(format!("word{{}}", state >> 54)).or_default().push(number);
    }}
    let ordered: BTreeMap<_, _> = words.into_iter().collect();
    ordered.iter().fold(0, |sum, (key, list)| {{
        sum.wrapping_mul(31).wrapping_add(key.len() as u64 + list.iter().sum::<u64>())
    }})
}}

fn main() {{
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..8).map(|seed| {{
        let (sender, shared) = (sender.clone(), shared.clone());
        thread::spawn(move || {{
            let value = digest(seed);
            shared.lock().unwrap().push(value);
            sender.send(Box::new(value)).unwrap();
        }})
    }}).collect();
    drop(sender);
    let sum = receiver.iter().fold(0u64, |sum, value| sum.wrapping_add(*value));
    for thread in threads {{ thread.join().unwrap(); }}
    println!("sum {{}} of {{}}", sum, shared.lock().unwrap().len());
    let caught = std::panic::catch_unwind(|| {{ let list: Vec<i32> = Vec::new(); list[1] }});
    println!("caught {{}}", caught.is_err());
    std::process::exit(5);
}}
""")

    exit_status = 5

    def command(self, work):
        return ["sh", "-ec", "rustc -O -g work.rs -o work; exec ./work"]


GO_SOURCE = """
package main

%s
import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

func digest(seed int) uint32 {
	sum := uint32(0)
	for i := 0; i < %d; i++ {
		rows := map[string]int{}
		for n := 0; n < 100; n++ {
			rows[fmt.Sprintf("key%%d", n*seed)] = n + i
		}
		text, _ := json.Marshal(rows)
		sum = crc32.Update(sum, crc32.IEEETable, text)
	}
	return sum
}

func main() {
	var group sync.WaitGroup
	sums := make([]uint32, 16)
	for i := range sums {
		group.Add(1)
		go func(i int) { defer group.Done(); sums[i] = digest(i + 1) }(i)
	}
	group.Wait()
	total := uint32(0)
	for _, sum := range sums {
		total += sum
	}
	fmt.Println("sum", total)
	func() {
		defer func() { fmt.Println("recovered", recover() != nil) }()
		var nothing *int
		fmt.Println(*nothing)
	}()
	%s
	os.Exit(4)
}
"""


class Go(Case):
    packages = ("golang-go", "gcc", "libc6-dev")
    exit_status = 4
    imports = ""
    calls = ""
    cgo = "0"

    def missing(self):
        return missing_programs("go", "gcc")

    def prepare(self, work):
        write(f"{work}/work.go", GO_SOURCE % (self.imports, self.by_size(20, 1000), self.calls))
        cache = os.path.join(os.path.dirname(work), "go-cache")
        os.makedirs(cache, exist_ok=True)
        subprocess.run(["go", "build", "-o", "work", "work.go"], cwd=work, check=True,
                       env={"PATH": PATH, "HOME": cache, "GOCACHE": cache,
                            "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "CGO_ENABLED": self.cgo})

    def command(self, work):
        return ["./work"]


class GoCgo(Go):
    name = "go (cgo)"
    cgo = "1"
    imports = """
/*
#include <stdlib.h>
#include <string.h>
static void *fill(size_t bytes) { void *block = malloc(bytes); memset(block, 1, bytes); return block; }
*/
import "C"
"""
    calls = """for i := 1; i < 2000; i++ {
		text := C.CString(fmt.Sprint(i))
		block := C.fill(C.size_t(i))
		C.free(block)
		fmt.Print(C.strlen(text), " ")
		go func() { C.free(C.fill(100)) }()
	}
	fmt.Println()"""
    least_allocations = 4_000


class GoStatic(Go):
    name = "go (static)"
    least_allocations = 0
    least_processes = 0
    explained = {"static_binary": "a Go program without cgo has neither libc nor a dynamic linker"}


class GoBuild(GoCgo):
    """The tool chain itself: static programs that start static and dynamic ones."""
    name = "go build"
    exit_status = 0
    least_allocations = 10_000
    least_processes = 3  # gcc, cc1, as, ld
    # Its compiler and linker have no dynamic linker: programs that nobody names inside a process tree.

    def prepare(self, work):
        write(f"{work}/work.go", GO_SOURCE % (self.imports, 1, self.calls))

    def environment(self, work):
        return {"GOCACHE": os.path.join(str(work), "cache"), "GO111MODULE": "off",
                "CGO_ENABLED": "1"}

    def left_out(self, path):
        return path.startswith("cache/")  # entries hold times and are named by them

    def command(self, work):
        return ["go", "build", "-o", "work", "work.go"]
