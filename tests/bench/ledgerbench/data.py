"""The rows of the vehicle registry, of YCSB's table and of SmallBank's, as CSV files. Row i is the same everywhere."""

import time

STATES = ("AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK "
          "OR PA RI SC SD TN TX UT VT VA WA WV WI WY").split()
YCSB_FIELDS = 10
YCSB_FIELD_BYTES = 100


def write_persons(file, count):
    with file.open("w") as out:
        out.write("person_id,first_name,last_name,dob,gov_id,gov_id_type,address,city,state,zip\n")
        for i in range(1, count + 1):
            days = i * 7919 % 24000
            dob = time.strftime("%Y-%m-%d", time.gmtime((days - 10957) * 86400))
            out.write(f"P{i:021d},First{i % 5000},Lastname{i % 20011},{dob},LEWIS{i % 10**8:08d}JJ,Driver License,"
                      f"{i % 9999} Winding Creek Road Apt {i % 300},City{i % 1000},{STATES[i % 50]},{i % 100000:05d}\n")


def write_registrations(file, count, letter="V"):
    np = max(1, count // 10)
    days = [time.strftime("%Y-%m-%d", time.gmtime(1483228800 + d * 86400)) for d in range(1500)]
    until = [time.strftime("%Y-%m-%d", time.gmtime(1609459200 + d * 86400)) for d in range(1500)]
    with file.open("w") as out:
        out.write("vin,license_plate,state,city,pending_penalty,valid_from,valid_to,owner\n")
        for i in range(1, count + 1):
            cents, d = i * 37 % 50000, i * 13 % 1500
            owner = (f'{{""PrimaryOwner"":{{""PersonId"":""P{i % np + 1:021d}""}},'
                     f'""SecondaryOwners"":[{{""PersonId"":""P{i * 7 % np + 1:021d}""}}]}}')
            out.write(f'{letter}{i},LP{i:08d},{STATES[i * 31 % 50]},City{i % 1000},{cents // 100}.{cents % 100:02d},{days[d]},{until[d]},"{owner}"\n')


def write_usertable(file, count):
    with file.open("w") as out:
        out.write("ycsb_key," + ",".join(f"field{f}" for f in range(YCSB_FIELDS)) + "\n")
        for i in range(1, count + 1):
            fields = ",".join(f"{i * 31 + f:x}".ljust(YCSB_FIELD_BYTES, "abcdefghij"[f]) for f in range(YCSB_FIELDS))
            out.write(f"user{i},{fields}\n")


def write_accounts(file, count):
    with file.open("w") as out:
        out.write("custid,name,savings,checking\n")
        for i in range(1, count + 1):
            out.write(f"{i},Customer{i:08d},10000,10000\n")
