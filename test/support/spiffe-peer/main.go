// Command spiffe-peer is the other end of a connection on go-spiffe: its identity comes from the Workload API
// at SPIFFE_ENDPOINT_SOCKET, and what it sees is printed as lines of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const usage = "usage: spiffe-peer watch | serve | serve-grpc | serve-tcp --expect ID | call --expect ID --url URL | interop --expect ID --address HOST:PORT --case NAME"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "spiffe-peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf(usage)
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	expect := flags.String("expect", "", "the SPIFFE ID that the other end must have")
	url := flags.String("url", "", "what to ask for")
	http1 := flags.Bool("http1", false, "do not offer HTTP/2")
	address := flags.String("address", "", "where the gRPC server is")
	name := flags.String("case", "", "a case of gRPC's interoperability tests")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	if arguments[0] == "watch" {
		return watch(ctx)
	}
	expected, err := spiffeid.FromString(*expect)
	if err != nil {
		return fmt.Errorf("--expect: %w", err)
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return fmt.Errorf("no identity: %w", err)
	}
	defer source.Close()
	switch arguments[0] {
	case "serve":
		return serve(ctx, source, expected)
	case "serve-grpc":
		return serveGRPC(ctx, source, expected)
	case "serve-tcp":
		return serveTCP(ctx, source, expected)
	case "call":
		return call(ctx, source, expected, *url, *http1)
	case "interop":
		return interopCase(ctx, source, expected, *address, *name)
	}
	return fmt.Errorf(usage)
}

func printLine(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		panic(err)
	}
}
