import com.amazon.ion.IonBlob;
import com.amazon.ion.IonDatagram;
import com.amazon.ion.IonInt;
import com.amazon.ion.IonList;
import com.amazon.ion.IonReader;
import com.amazon.ion.IonString;
import com.amazon.ion.IonStruct;
import com.amazon.ion.IonValue;
import com.amazon.ionhash.IonHashReader;
import com.amazon.ionhash.IonHashReaderBuilder;
import com.amazon.ionhash.MessageDigestIonHasherProvider;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.qldb.QldbClient;
import software.amazon.awssdk.services.qldb.model.GetDigestResponse;
import software.amazon.awssdk.services.qldb.model.GetRevisionResponse;
import software.amazon.awssdk.services.qldb.model.InvalidParameterException;
import software.amazon.awssdk.services.qldb.model.LedgerState;
import software.amazon.awssdk.services.qldb.model.PermissionsMode;
import software.amazon.awssdk.services.qldb.model.QldbException;
import software.amazon.awssdk.services.qldb.model.ResourceAlreadyExistsException;
import software.amazon.awssdk.services.qldb.model.ResourceNotFoundException;
import software.amazon.awssdk.services.qldb.model.ResourcePreconditionNotMetException;
import software.amazon.awssdk.services.qldb.model.ValueHolder;
import software.amazon.qldb.QldbDriver;

/**
 * The control API with the AWS SDK for Java, and digests, blocks and revisions verified as QLDB's samples did: {@code Control
 * BINARY FOLDER}.
 */
public final class Control {
    private static QldbClient client(Cases.Server server, String secret) {
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("AKIDTEST", secret));
        URI endpoint = URI.create("http://127.0.0.1:" + server.http);
        return QldbClient.builder().region(Region.US_EAST_1).endpointOverride(endpoint).credentialsProvider(credentials).build();
    }

    // Verification.

    private static byte[] sha256(byte[]... parts) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (byte[] part : parts) {
            digest.update(part);
        }
        return digest.digest();
    }

    private static byte[] ionHash(IonValue value) throws Exception {
        IonReader reader = Cases.ION.newReader(value);
        IonHashReader hashing = IonHashReaderBuilder.standard()
                .withHasherProvider(new MessageDigestIonHasherProvider("SHA-256"))
                .withReader(reader)
                .build();
        while (hashing.next() != null) {
            // The digest is that of the value before.
        }
        return hashing.digest();
    }

    private static byte[] dot(byte[] a, byte[] b) throws Exception {
        for (int at = a.length - 1; at >= 0; at--) {
            if (a[at] != b[at]) {
                return a[at] < b[at] ? sha256(a, b) : sha256(b, a);
            }
        }
        return sha256(a, b);
    }

    private static byte[] fold(byte[] leaf, ValueHolder proof) throws Exception {
        byte[] hash = leaf;
        for (IonValue sibling : (IonList) parse(proof)) {
            hash = dot(hash, ((IonBlob) sibling).getBytes());
        }
        return hash;
    }

    private static byte[] merkle(List<byte[]> hashes) throws Exception {
        List<byte[]> level = hashes;
        while (level.size() > 1) {
            List<byte[]> next = new ArrayList<>();
            for (int at = 0; at < level.size(); at += 2) {
                next.add(at + 1 < level.size() ? dot(level.get(at), level.get(at + 1)) : level.get(at));
            }
            level = next;
        }
        return level.get(0);
    }

    private static byte[] revisionHash(IonStruct revision) throws Exception {
        byte[] metadata = ionHash(revision.get("metadata"));
        if (revision.get("data") != null) {
            return dot(metadata, ionHash(revision.get("data")));
        }
        return revision.get("dataHash") == null ? metadata : dot(metadata, bytes(revision, "dataHash"));
    }

    private static boolean holds(List<byte[]> list, byte[] hash) {
        return list.stream().anyMatch(one -> Arrays.equals(one, hash));
    }

    /** Everything that a block's hash stands for; the hash. */
    private static byte[] verifyBlock(IonStruct block) throws Exception {
        List<byte[]> entries = blobs((IonList) block.get("entriesHashList"));
        List<byte[]> revisions = new ArrayList<>();
        for (IonValue revision : (IonList) block.get("revisions")) {
            revisions.add(revisionHash((IonStruct) revision));
            same(bytes((IonStruct) revision, "hash"), revisions.get(revisions.size() - 1));
        }
        Cases.expect(holds(entries, merkle(revisions)), "the revisions' root is no entry");
        for (String part : List.of("transactionInfo", "originInfo")) {
            Cases.expect(holds(entries, ionHash(block.get(part))), part + " is no entry");
        }
        same(bytes(block, "entriesHash"), merkle(entries));
        byte[] hash = merkle(entries);
        if (block.get("previousBlockHash") != null) {
            hash = dot(hash, bytes(block, "previousBlockHash"));
        }
        same(bytes(block, "blockHash"), hash);
        return hash;
    }

    private static List<byte[]> blobs(IonList list) {
        List<byte[]> all = new ArrayList<>();
        for (IonValue one : list) {
            all.add(((IonBlob) one).getBytes());
        }
        return all;
    }

    private static byte[] bytes(IonStruct struct, String field) {
        return ((IonBlob) struct.get(field)).getBytes();
    }

    private static void same(byte[] found, byte[] expected) {
        Cases.expect(Arrays.equals(found, expected), "the hashes differ");
    }

    private static IonValue parse(ValueHolder holder) {
        IonDatagram values = Cases.ION.getLoader().load(holder.ionText());
        return values.get(0);
    }

    private static ValueHolder holder(IonValue value) {
        return ValueHolder.builder().ionText(value.toString()).build();
    }

    private static IonStruct committed(QldbDriver driver, String table, int n) {
        List<IonValue> rows = Cases.run(driver, "SELECT * FROM _ql_committed_" + table + " WHERE data.n = " + n);
        Cases.same(rows.size(), 1);
        return (IonStruct) rows.get(0);
    }

    private static Map<String, Cases.Work> cases(Cases.Server server, QldbClient api, QldbDriver driver, Path folder) {
        Map<String, Cases.Work> all = new LinkedHashMap<>();
        all.put("a ledger is made, described, listed and deleted", () -> {
            var made = api.createLedger(r -> r.name("titles").permissionsMode(PermissionsMode.ALLOW_ALL));
            Cases.same(made.state(), LedgerState.ACTIVE);
            Cases.same(made.arn(), "arn:aws:qldb:us-east-1:000000000000:ledger/titles");
            var described = api.describeLedger(r -> r.name("titles"));
            Cases.same(described.creationDateTime(), made.creationDateTime());
            Cases.expect(described.deletionProtection(), "it is not protected");
            Cases.expect(api.listLedgers(r -> {}).ledgers().stream().anyMatch(l -> l.name().equals("titles")), "it is not listed");
            Cases.refused(ResourceAlreadyExistsException.class, () ->
                    api.createLedger(r -> r.name("titles").permissionsMode(PermissionsMode.ALLOW_ALL)));
            Cases.refused(ResourcePreconditionNotMetException.class, () -> api.deleteLedger(r -> r.name("titles")));
            api.updateLedger(r -> r.name("titles").deletionProtection(false));
            api.deleteLedger(r -> r.name("titles"));
            Cases.refused(ResourceNotFoundException.class, () -> api.describeLedger(r -> r.name("titles")));
        });
        all.put("lists come in pages", () -> {
            for (int n = 0; n < 3; n++) {
                String name = "page-" + n;
                api.createLedger(r -> r.name(name).permissionsMode("ALLOW_ALL").deletionProtection(false));
            }
            var names = new ArrayList<String>();
            api.listLedgersPaginator(r -> r.maxResults(2)).forEach(page -> page.ledgers().forEach(l -> names.add(l.name())));
            Cases.same(names, List.of("main", "page-0", "page-1", "page-2"));
            names.subList(1, 4).forEach(name -> api.deleteLedger(r -> r.name(name)));
        });
        all.put("tags and the permissions mode change", () -> {
            String arn = api.describeLedger(r -> r.name("main")).arn();
            api.tagResource(r -> r.resourceArn(arn).tags(Map.of("team", "a b", "gone", "x")));
            api.untagResource(r -> r.resourceArn(arn).tagKeys("gone"));
            Cases.same(api.listTagsForResource(r -> r.resourceArn(arn)).tags(), Map.of("team", "a b"));
        });
        all.put("a block is verified, and a changed one is not", () -> {
            IonStruct row = committed(driver, "Proved", 1);
            GetDigestResponse digest = api.getDigest(r -> r.name("main"));
            var answer = api.getBlock(r -> r.name("main")
                    .blockAddress(holder(row.get("blockAddress")))
                    .digestTipAddress(digest.digestTipAddress()));
            IonStruct block = (IonStruct) parse(answer.block());
            same(fold(verifyBlock(block), answer.proof()), digest.digest().asByteArray());
            for (int bit = 0; bit < 256; bit += 11) {
                byte[] changed = bytes(block, "blockHash");
                changed[bit / 8] ^= (byte) (1 << bit % 8);
                Cases.expect(!Arrays.equals(fold(changed, answer.proof()), digest.digest().asByteArray()), "bit " + bit);
            }
        });
        all.put("a revision is verified, and a changed one is not", () -> {
            IonStruct row = committed(driver, "Proved", 2);
            String document = ((IonString) ((IonStruct) row.get("metadata")).get("id")).stringValue();
            GetDigestResponse digest = api.getDigest(r -> r.name("main"));
            Cases.run(driver, "UPDATE Proved SET later = true WHERE n = 2");
            GetRevisionResponse answer = api.getRevision(r -> r.name("main")
                    .documentId(document)
                    .blockAddress(holder(row.get("blockAddress")))
                    .digestTipAddress(digest.digestTipAddress()));
            IonStruct revision = (IonStruct) parse(answer.revision());
            same(fold(revisionHash(revision), answer.proof()), digest.digest().asByteArray());
            ((IonStruct) revision.get("data")).put("n").newInt(3);
            Cases.expect(!Arrays.equals(fold(revisionHash(revision), answer.proof()), digest.digest().asByteArray()), "changed");
            IonStruct other = (IonStruct) parse(answer.revision());
            ((IonStruct) other.get("metadata")).put("version").newInt(1);
            Cases.expect(!Arrays.equals(fold(revisionHash(other), answer.proof()), digest.digest().asByteArray()), "changed");
        });
        all.put("addresses that are none are refused", () -> {
            var none = ValueHolder.builder().ionText("{strandId:\"x\",sequenceNo:1}").build();
            Cases.refused(InvalidParameterException.class, () -> api.getBlock(r -> r.name("main").blockAddress(none)));
            IonStruct tip = (IonStruct) parse(api.getDigest(r -> r.name("main")).digestTipAddress());
            tip.put("sequenceNo").newInt(((IonInt) tip.get("sequenceNo")).intValue() + 1);
            Cases.refused(InvalidParameterException.class, () -> api.getBlock(r -> r.name("main").blockAddress(holder(tip))));
        });
        all.put("signatures are verified with access keys", () -> {
            Path keys = folder.resolve("control-keys");
            Files.writeString(keys, "AKIDTEST " + Cases.SECRET + " clerk\n");
            Files.setPosixFilePermissions(keys, PosixFilePermissions.fromString("rw-------"));
            var closed = new Cases.Server(server.binary, folder.resolve("closed-control"), "--access-keys", keys.toString());
            QldbClient mine = client(closed, Cases.SECRET);
            String arn = mine.describeLedger(r -> r.name("main")).arn();
            mine.tagResource(r -> r.resourceArn(arn).tags(Map.of("a b", "c")));
            mine.untagResource(r -> r.resourceArn(arn).tagKeys("a b", "d/e"));
            Cases.same(mine.listLedgers(r -> r.maxResults(3)).ledgers().size(), 1);
            QldbClient stranger = client(closed, "x".repeat(40));
            QldbException error = Cases.refused(QldbException.class, () -> stranger.listLedgers(r -> {}));
            Cases.same(error.awsErrorDetails().errorCode(), "InvalidSignatureException");
            closed.stop();
        });
        return all;
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[1]).resolve("control");
        var server = new Cases.Server(arguments[0], folder.resolve("open"));
        QldbDriver driver = server.driver();
        Cases.run(driver, "CREATE TABLE Proved");
        Cases.run(driver, "INSERT INTO Proved << {'n': 1, 'd': 1.50}, {'n': 2, 'list': [1, null, 'x']}, {'n': 4} >>");
        Map<String, Cases.Work> all = cases(server, client(server, Cases.SECRET), driver, folder);
        int failed = Cases.hold(all);
        server.stop();
        System.out.println(all.size() - failed + " of " + all.size() + " cases of the control API hold");
        System.exit(failed == 0 ? 0 : 1);
    }
}
