package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

type interopCall func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)

var interopCalls = map[string]interopCall{
	"empty_unary":                 interop.DoEmptyUnaryCall,
	"large_unary":                 interop.DoLargeUnaryCall,
	"client_streaming":            interop.DoClientStreaming,
	"server_streaming":            interop.DoServerStreaming,
	"ping_pong":                   interop.DoPingPong,
	"empty_stream":                interop.DoEmptyStream,
	"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
	"cancel_after_begin":          interop.DoCancelAfterBegin,
	"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
	"status_code_and_message":     interop.DoStatusCodeAndMessage,
	"special_status_message":      interop.DoSpecialStatusMessage,
	"custom_metadata":             interop.DoCustomMetadata,
}

// interopCase runs one of gRPC's interoperability cases over mTLS with our SVID. A case that fails ends the process.
func interopCase(ctx context.Context, source *workloadapi.X509Source, expected spiffeid.ID, address, name string) error {
	open := func() (*grpc.ClientConn, error) {
		config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected))
		return grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	}
	connection, err := open()
	if err != nil {
		return err
	}
	defer connection.Close()
	switch name {
	case "unimplemented_method":
		interop.DoUnimplementedMethod(ctx, connection)
	case "unimplemented_service":
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(connection))
	case "rpc_soak":
		soak(ctx, address, func() (*grpc.ClientConn, func()) { return connection, func() {} })
	case "channel_soak":
		soak(ctx, address, func() (*grpc.ClientConn, func()) {
			own, err := open()
			if err != nil {
				panic(err)
			}
			return own, func() { own.Close() }
		})
	default:
		run, ok := interopCalls[name]
		if !ok {
			return fmt.Errorf("case %q is unknown", name)
		}
		run(ctx, testgrpc.NewTestServiceClient(connection))
	}
	printLine(map[string]string{"passed": name})
	return nil
}

// soak makes calls one after the other, on the channels that it is given; it counts the failures, not the time.
func soak(ctx context.Context, address string, channel func() (*grpc.ClientConn, func())) {
	interop.DoSoakTest(ctx, interop.SoakTestConfig{
		RequestSize:                      271828,
		ResponseSize:                     314159,
		PerIterationMaxAcceptableLatency: 10 * time.Second,
		OverallTimeout:                   30 * time.Second,
		ServerAddr:                       address,
		NumWorkers:                       1,
		Iterations:                       10,
		ChannelForTest:                   channel,
	})
}
