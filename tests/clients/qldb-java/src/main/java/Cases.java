import com.amazon.ion.IonStruct;
import com.amazon.ion.IonSystem;
import com.amazon.ion.IonValue;
import com.amazon.ion.system.IonSystemBuilder;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.qldbsession.QldbSessionClient;
import software.amazon.awssdk.services.qldbsession.model.BadRequestException;
import software.amazon.awssdk.services.qldbsession.model.InvalidSessionException;
import software.amazon.awssdk.services.qldbsession.model.OccConflictException;
import software.amazon.awssdk.services.qldbsession.model.QldbSessionException;
import software.amazon.qldb.Executor;
import software.amazon.qldb.QldbDriver;
import software.amazon.qldb.Result;
import software.amazon.qldb.RetryPolicy;
import software.amazon.qldb.TransactionExecutor;
import software.amazon.qldb.exceptions.QldbDriverException;

/** The QLDB driver for Java, unchanged, against a server of its own: {@code Cases BINARY FOLDER}. */
public final class Cases {
    static final String SECRET = "a-secret-of-forty-characters-for-a-test-";
    static final IonSystem ION = IonSystemBuilder.standard().build();

    /** A case: what must hold, and how it is seen. */
    interface Work {
        void run() throws Exception;
    }

    static final class Server extends ServerProcess {
        Server(String binary, Path folder, String... more) throws Exception {
            super(binary, folder, more);
        }

        QldbDriver driver(String ledger, String secret, int sessions, int retries) {
            var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIDTEST", secret));
            var client = QldbSessionClient.builder()
                    .region(Region.US_EAST_1)
                    .endpointOverride(URI.create("http://127.0.0.1:" + http))
                    .credentialsProvider(credentials);
            var policy = RetryPolicy.builder().maxRetries(retries).backoffStrategy(context -> Duration.ofMillis(1)).build();
            return QldbDriver.builder()
                    .ledger(ledger)
                    .maxConcurrentTransactions(sessions)
                    .transactionRetryPolicy(policy)
                    .sessionClientBuilder(client)
                    .build();
        }

        QldbDriver driver() {
            return driver("main", SECRET, 10, 4);
        }
    }

    static void expect(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(Object found, Object expected) {
        expect(expected.equals(found), "found " + found + ", expected " + expected);
    }

    static <T extends Throwable> T refused(Class<T> with, Work work) {
        try {
            work.run();
        } catch (Throwable error) {
            expect(with.isInstance(error), "refused with " + error);
            return with.cast(error);
        }
        throw new AssertionError("it was not refused");
    }

    private static IonValue value(Object plain) {
        if (plain instanceof IonValue) {
            return (IonValue) plain;
        }
        return plain instanceof Integer ? ION.newInt((Integer) plain) : ION.newString((String) plain);
    }

    private static List<IonValue> in(TransactionExecutor transaction, String statement, Object... parameters) {
        List<IonValue> values = new ArrayList<>();
        for (Object parameter : parameters) {
            values.add(value(parameter));
        }
        List<IonValue> rows = new ArrayList<>();
        transaction.execute(statement, values).iterator().forEachRemaining(rows::add);
        return rows;
    }

    /** The values of one statement in a transaction of its own. */
    static List<IonValue> run(QldbDriver driver, String statement, Object... parameters) {
        return driver.execute((Executor<List<IonValue>>) transaction -> in(transaction, statement, parameters));
    }

    private static List<String> texts(List<IonValue> rows) {
        return rows.stream().map(IonValue::toString).toList();
    }

    private static String documentId(List<IonValue> rows) {
        expect(rows.size() == 1, rows + " is not one row");
        String id = ((IonStruct) rows.get(0)).get("documentId").toString();
        expect(id.length() == 24, id);
        return id;
    }

    private static IonValue vehicle(String vin, int number) {
        return ION.singleValue("{VIN: \"" + vin + "\", Number: " + number + "}");
    }

    private static Map<String, Work> cases(Server server, Server impatient, QldbDriver driver, Path folder) {
        Map<String, Work> all = new LinkedHashMap<>();
        all.put("tables are listed", () -> {
            TreeSet<String> names = new TreeSet<>();
            driver.getTableNames().forEach(names::add);
            same(names.toString(), "[Empty, Vehicle]");
        });
        all.put("a definition answers with the table's id", () -> {
            List<String> made = texts(run(driver, "CREATE TABLE Made"));
            expect(made.get(0).matches("\\{tableId:\"\\w{22}\"}"), made.toString());
            same(texts(run(driver, "CREATE INDEX ON Made (field)")), made);
            same(texts(run(driver, "DROP TABLE Made")), made);
        });
        all.put("a table that is there is a bad request",
                () -> refused(BadRequestException.class, () -> run(driver, "CREATE TABLE Vehicle")));
        all.put("an insert answers with the document's id",
                () -> documentId(run(driver, "INSERT INTO Vehicle ?", vehicle("A1", 2011))));
        all.put("an update answers with the document's id", () -> {
            documentId(run(driver, "UPDATE Vehicle SET Number = ? WHERE VIN = ?", 2012, "A1"));
            same(texts(run(driver, "SELECT VIN, Number FROM Vehicle WHERE VIN = ?", "A1")), List.of("{VIN:\"A1\",Number:2012}"));
        });
        all.put("FROM SET changes and REMOVE removes", () -> {
            run(driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' SET v.Color = 'red'");
            run(driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' REMOVE v.Number");
            same(texts(run(driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'")), List.of("{VIN:\"A1\",Color:\"red\"}"));
        });
        all.put("a delete answers with the document's id", () -> {
            documentId(run(driver, "DELETE FROM Vehicle WHERE VIN = 'A1'"));
            same(run(driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'").size(), 0);
        });
        all.put("several documents in one statement", () -> {
            List<String> ids = texts(run(driver, "INSERT INTO Vehicle << {'VIN': 'M1'}, ?, {'VIN': 'M3'} >>", vehicle("M2", 2)));
            same(new HashSet<>(ids).size(), 3);
        });
        all.put("every type and every typed null comes back as it went", () -> {
            String[] values = {
                "null", "null.bool", "null.int", "null.float", "null.decimal", "null.timestamp", "null.string", "null.symbol",
                "null.blob", "null.clob", "null.list", "null.sexp", "null.struct", "true", "false", "0", "-1",
                "123456789012345678901234567890", "0e0", "-0e0", "1.5e300", "nan", "+inf", "-inf", "0.", "-0.", "1.50",
                "12345678901234567.890", "1d100", "2019T", "2019-03T", "2019-03-04T", "2019-03-04T05:06:07.890-08:30",
                "2019-03-04T05:06:07-00:00", "\"\"", "\"text \u00e9\"", "symbol", "{{aGVsbG8=}}", "{{\"clob\"}}", "[]",
                "[1,\"a\",[null.int]]", "(a + b)", "{}", "{a:1,b:{c:[2.0]}}", "annotated::\"x\"", "a::b::{c:d::1}"
            };
            for (int number = 0; number < values.length; number++) {
                IonValue expected = ION.singleValue(values[number]);
                run(driver, "INSERT INTO Vehicle {'VIN': ?, 'V': ?}", "T" + number, expected.clone());
                List<IonValue> found = run(driver, "SELECT VALUE v.V FROM Vehicle AS v WHERE v.VIN = ?", "T" + number);
                same(found, List.of(expected));
            }
        });
        all.put("parameters find their like", () -> {
            String[] values = {"1", "1.50", "2.5e0", "true", "\"x\"", "sym", "2019-03-04T05:06:07Z", "{{aGk=}}", "[1,2]", "{a:1}"};
            for (int number = 0; number < values.length; number++) {
                IonValue value = ION.singleValue(values[number]);
                run(driver, "INSERT INTO Vehicle {'VIN': ?, 'Same': ?}", "P" + number, value.clone());
                List<IonValue> found =
                        run(driver, "SELECT VALUE VIN FROM Vehicle WHERE VIN = ? AND Same = ?", "P" + number, value.clone());
                same(texts(found), List.of("\"P" + number + "\""));
            }
        });
        all.put("a null parameter is null", () -> {
            run(driver, "INSERT INTO Vehicle {'VIN': 'N1', 'Gone': ?}", ION.newNull());
            same(run(driver, "SELECT VIN FROM Vehicle WHERE VIN = 'N1' AND Gone IS NULL").size(), 1);
        });
        all.put("pages hold what does not fit one", () -> {
            driver.execute(transaction -> {
                for (int n = 0; n < 701; n++) {
                    transaction.execute("INSERT INTO Vehicle ?", vehicle("PAGE" + n, -7));
                }
            });
            same(new HashSet<>(texts(run(driver, "SELECT VIN FROM Vehicle WHERE Number = -7"))).size(), 701);
        });
        all.put("a buffered result is read after its transaction", () -> {
            Result buffered = driver.execute(transaction -> {
                return transaction.execute("SELECT VIN FROM Vehicle WHERE Number = -7");
            });
            AtomicInteger count = new AtomicInteger();
            buffered.iterator().forEachRemaining(row -> count.incrementAndGet());
            same(count.get(), 701);
        });
        all.put("two results are read by turns", () -> driver.execute(transaction -> {
            var first = transaction.execute("SELECT VIN FROM Vehicle WHERE Number = -7").iterator();
            var second = transaction.execute("SELECT VIN FROM Vehicle WHERE Number = -7").iterator();
            for (int n = 0; n < 600; n++) {
                same(first.next(), second.next());
            }
        }));
        all.put("an aborted transaction leaves nothing", () -> {
            refused(Exception.class, () -> driver.execute(transaction -> {
                transaction.execute("INSERT INTO Vehicle {'VIN': 'ABORTED'}");
                transaction.abort();
            }));
            same(run(driver, "SELECT * FROM Vehicle WHERE VIN = 'ABORTED'").size(), 0);
        });
        all.put("a transaction sees its own changes", () -> driver.execute(transaction -> {
            transaction.execute("INSERT INTO Vehicle {'VIN': 'OWN'}");
            same(in(transaction, "SELECT VIN FROM Vehicle WHERE VIN = 'OWN'").size(), 1);
            same(run(driver, "SELECT VIN FROM Vehicle WHERE VIN = 'OWN'").size(), 0);
        }));
        all.put("a conflict is tried again and nothing is lost", () -> {
            run(driver, "INSERT INTO Vehicle ?", vehicle("COUNT", 0));
            QldbDriver patient = server.driver("main", SECRET, 10, 200);
            AtomicInteger attempts = new AtomicInteger();
            List<Throwable> problems = new ArrayList<>();
            List<Thread> threads = new ArrayList<>();
            for (int thread = 0; thread < 4; thread++) {
                threads.add(new Thread(() -> {
                    for (int n = 0; n < 20; n++) {
                        patient.execute(transaction -> {
                            attempts.incrementAndGet();
                            IonValue number = in(transaction, "SELECT VALUE Number FROM Vehicle WHERE VIN = 'COUNT'").get(0);
                            int next = Integer.parseInt(number.toString()) + 1;
                            in(transaction, "UPDATE Vehicle SET Number = ? WHERE VIN = 'COUNT'", next);
                        });
                    }
                }));
            }
            threads.forEach(thread -> thread.setUncaughtExceptionHandler((t, problem) -> problems.add(problem)));
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                thread.join();
            }
            expect(problems.isEmpty(), problems.toString());
            same(texts(run(driver, "SELECT VALUE Number FROM Vehicle WHERE VIN = 'COUNT'")), List.of("80"));
            expect(attempts.get() > 80, attempts + " attempts");
        });
        all.put("conflicts end after the limit with their name", () -> {
            QldbDriver soonTired = server.driver("main", SECRET, 10, 2);
            refused(OccConflictException.class, () -> soonTired.execute(transaction -> {
                transaction.execute("SELECT * FROM Empty");
                run(driver, "INSERT INTO Empty {'n': 1}");
            }));
            run(driver, "DELETE FROM Empty");
        });
        all.put("a lookup that found nothing conflicts with who inserts it", () -> {
            List<Integer> attempts = new ArrayList<>();
            driver.execute(transaction -> {
                int found = in(transaction, "SELECT VIN FROM Vehicle WHERE VIN = 'NEW'").size();
                if (attempts.isEmpty()) {
                    run(driver, "INSERT INTO Vehicle {'VIN': 'NEW'}");
                }
                attempts.add(found);
                if (found == 0) {
                    transaction.execute("INSERT INTO Vehicle {'VIN': 'NEW'}");
                }
            });
            same(attempts, List.of(0, 1));
        });
        all.put("a syntax error is a bad request and not tried again", () -> {
            AtomicInteger attempts = new AtomicInteger();
            BadRequestException error = refused(BadRequestException.class, () -> driver.execute(transaction -> {
                attempts.incrementAndGet();
                transaction.execute("SELEC * FROM Vehicle");
            }));
            expect(error.getMessage().contains("syntax error") && attempts.get() == 1, attempts + " attempts, " + error);
        });
        all.put("an unknown table is a bad request", () -> {
            BadRequestException error = refused(BadRequestException.class, () -> run(driver, "SELECT * FROM Nowhere"));
            expect(error.getMessage().contains("Nowhere"), error.toString());
        });
        all.put("a missing parameter is a bad request",
                () -> refused(BadRequestException.class, () -> run(driver, "SELECT * FROM Vehicle WHERE VIN = ?")));
        all.put("after a statement that failed the transaction goes on", () -> {
            driver.execute(transaction -> {
                refused(BadRequestException.class, () -> transaction.execute("INSERT INTO Nowhere {'n': 1}"));
                transaction.execute("INSERT INTO Vehicle {'VIN': 'AFTER'}");
            });
            same(run(driver, "SELECT * FROM Vehicle WHERE VIN = 'AFTER'").size(), 1);
        });
        all.put("an unknown ledger is a bad request", () -> {
            QldbDriver lost = server.driver("nowhere", SECRET, 10, 4);
            refused(BadRequestException.class, () -> lost.getTableNames().iterator().hasNext());
        });
        all.put("statistics are those of the work", () -> {
            run(driver, "INSERT INTO Vehicle ?", vehicle("STAT", 1));
            driver.execute(transaction -> {
                Result one = transaction.execute("SELECT * FROM Vehicle WHERE VIN = 'STAT'");
                one.iterator().forEachRemaining(row -> { });
                same(one.getConsumedIOs().getReadIOs(), 1L);
                expect(one.getTimingInformation().getProcessingTimeMilliseconds() >= 1, "no time");
            });
        });
        all.put("history has every revision", () -> {
            run(driver, "INSERT INTO Vehicle ?", vehicle("HIST", 1));
            run(driver, "UPDATE Vehicle SET Number = 2 WHERE VIN = 'HIST'");
            String query = "SELECT VALUE h.metadata.version FROM history(Vehicle) AS h WHERE h.data.VIN = 'HIST'";
            same(new TreeSet<>(texts(run(driver, query))).toString(), "[0, 1]");
        });
        all.put("a transaction that took too long is not tried again", () -> {
            AtomicInteger attempts = new AtomicInteger();
            QldbDriver hurried = impatient.driver();
            InvalidSessionException error = refused(InvalidSessionException.class, () -> hurried.execute(transaction -> {
                attempts.incrementAndGet();
                transaction.execute("CREATE TABLE Slow");
                pause(3500);
                transaction.execute("CREATE TABLE Slower");
            }));
            expect(error.getMessage().matches(".*Transaction .* has expired.*") && attempts.get() == 1, error.toString());
            expect(!hurried.getTableNames().iterator().hasNext(), "something was committed");
        });
        all.put("an idle session is replaced without a word", () -> {
            QldbDriver hurried = impatient.driver();
            hurried.getTableNames();
            pause(3600);
            expect(!hurried.getTableNames().iterator().hasNext(), "there are tables");
        });
        all.put("an exhausted pool is the driver's own error", () -> {
            QldbDriver small = server.driver("main", SECRET, 1, 0);
            small.execute(transaction -> {
                refused(QldbDriverException.class, () -> run(small, "SELECT * FROM Empty"));
            });
        });
        all.put("a server that dies in the middle is met with the whole transaction again", () -> {
            AtomicInteger attempts = new AtomicInteger();
            driver.execute(transaction -> {
                transaction.execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}");
                if (attempts.incrementAndGet() == 1) {
                    quietly(server::kill);
                    quietly(server::start);
                }
                transaction.execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}");
            });
            expect(attempts.get() >= 2, attempts + " attempts");
            same(run(driver, "SELECT * FROM Vehicle WHERE VIN = 'MIDDLE'").size(), 2);
        });
        all.put("signatures are verified with access keys", () -> {
            Path keys = folder.resolve("access-keys");
            Files.writeString(keys, "AKIDTEST " + SECRET + " clerk\n");
            Files.setPosixFilePermissions(keys, PosixFilePermissions.fromString("rw-------"));
            Server closed = new Server(server.binary, folder.resolve("closed"), "--access-keys", keys.toString());
            run(closed.driver(), "CREATE TABLE T");
            QldbDriver stranger = closed.driver("main", "x".repeat(40), 10, 4);
            QldbSessionException error = refused(QldbSessionException.class, () -> run(stranger, "SELECT * FROM T"));
            same(error.awsErrorDetails().errorCode(), "InvalidSignatureException");
            closed.stop();
        });
        return all;
    }

    static void pause(long ms) {
        quietly(() -> Thread.sleep(ms));
    }

    private static void quietly(Work work) {
        try {
            work.run();
        } catch (Exception error) {
            throw new AssertionError(error);
        }
    }

    /** How many of the cases do not hold. */
    static int hold(Map<String, Work> all) {
        int failed = 0;
        for (Map.Entry<String, Work> one : all.entrySet()) {
            try {
                one.getValue().run();
                System.out.println("ok     " + one.getKey());
            } catch (Throwable problem) {
                failed++;
                System.out.println("FAILED " + one.getKey() + "\n       " + problem);
            }
        }
        return failed;
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[1]);
        Server server = new Server(arguments[0], folder.resolve("open"));
        String[] limits = {"--limit", "qldb_transaction_seconds=3", "--limit", "qldb_session_idle_seconds=3"};
        Server impatient = new Server(arguments[0], folder.resolve("impatient"), limits);
        QldbDriver driver = server.driver();
        for (String statement : List.of("CREATE TABLE Vehicle", "CREATE INDEX ON Vehicle (VIN)", "CREATE TABLE Empty")) {
            run(driver, statement);
        }
        Map<String, Work> all = cases(server, impatient, driver, folder);
        int failed = hold(all);
        server.stop();
        impatient.stop();
        System.out.println(all.size() - failed + " of " + all.size() + " cases hold");
        System.exit(failed == 0 ? 0 : 1);
    }
}
