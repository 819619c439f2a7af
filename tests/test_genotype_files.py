"Genotype files: round trips on random matrices, the real files, and damaged ones, refused by name and place."

import errno
import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bed_reader import open_bed, to_bed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gp_literate import genotype_files
from gp_literate.genotype_files import (
    open_vcf_zarr,
    pack_bed,
    read_hapmap,
    read_letters,
    read_ped,
    read_plink,
    read_table,
    write_csv,
    write_plink,
)
from gp_literate.genotypes import Population, is_loaded

ENDS = ("\n", "\r\n")
# Matrices (samples, markers) of 0, 1, 2 and -1; small, large and odd numbers of samples.
matrices = st.tuples(st.integers(1, 9), st.integers(1, 7)).flatmap(
    lambda s: arrays(np.int8, s, elements=st.integers(-1, 2)))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def population(matrix, seed=0, **known):
    "A diploid population with letters; names in several scripts."
    n, p = matrix.shape
    rng = np.random.default_rng(seed)
    allele = np.array([rng.permutation(list("ACGT"))[:2] for _ in range(p)])
    ids = [f"{'Größe稻b'[i % 7]}{i}" for i in range(n)]
    known = {"contig": [str(1 + j // 3) for j in range(p)], "position": [100 * j + 5 for j in range(p)]} | known
    return Population.from_array(np.where(matrix < 0, -9, matrix), missing=-9, sample_id=ids,
                                 variant_id=[f"m{j}" for j in range(p)], allele=allele, **known)


def letters_of(pop, join="", missing="NN"):
    "(n, p) calls written as letters, in the order other, counted."
    other, counted = pop.ds.variant_allele.to_numpy().T
    words = np.array([[o + join + o, o + join + c, c + join + c, missing] for o, c in zip(other, counted, strict=True)])
    return words[np.arange(pop.n_variants), pop.dosage]


def counted(pop):
    "Marker -> counted allele, to read a file of letters with the same rule."
    return dict(zip(pop.variant_id, pop.ds.variant_allele.to_numpy()[:, 1], strict=True))


def assert_same(a, b, alleles=True):
    "Same calls, ids and map; alleles where both are known."
    np.testing.assert_array_equal(a.dosage, b.dosage)
    assert a.sample_id.tolist() == b.sample_id.tolist() and a.variant_id.tolist() == b.variant_id.tolist()
    if alleles:
        for mine, theirs in zip(a.ds.variant_allele.to_numpy(), b.ds.variant_allele.to_numpy(), strict=True):
            assert all(x == y or "" in (x, y) for x, y in zip(mine, theirs, strict=True))


def write_ped(pop, path, end="\n", blank=" "):
    "A .ped and .map file, written without the package."
    calls = letters_of(pop, blank, f"0{blank}0")
    lines = [f"f{i % 2} {name} 0 0 {i % 3} -9 {blank.join(row)}" for i, (name, row) in
             enumerate(zip(pop.sample_id, calls, strict=True))]
    path.write_bytes("".join(line + end for line in lines).encode())
    rows = zip(pop.variant_id, pop.ds.variant_contig.to_numpy(), pop.ds.variant_position.to_numpy(), strict=True)
    path.with_suffix(".map").write_bytes("".join(f"{c} {name} 0 {bp}{end}" for name, c, bp in rows).encode())
    return path


HAPMAP = "rs#\talleles\tchrom\tpos\tstrand\tassembly#\tcenter\tprotLSID\tassayLSID\tpanelLSID\tQCcode"
IUPAC = {frozenset(k): v for k, v in {"AG": "R", "CT": "Y", "CG": "S", "AT": "W", "GT": "K", "AC": "M"}.items()}


def write_hapmap(pop, path, end="\n", single=False):
    "A HapMap file, written without the package."
    calls = letters_of(pop).T
    short = lambda c: "N" if c == "NN" else c[0] if c[0] == c[1] else IUPAC[frozenset(c)]
    rows = ["\t".join([HAPMAP, *pop.sample_id])]
    for name, two, bp, row in zip(pop.variant_id, pop.ds.variant_allele.to_numpy(),
                                  pop.ds.variant_position.to_numpy(), calls, strict=True):
        row = [short(c) for c in row] if single else list(row)
        rows.append("\t".join([name, "/".join(two), "1", str(bp), *["NA"] * 7, *row]))
    path.write_bytes("".join(r + end for r in rows).encode())
    return path


def write_letters(pop, path, end="\n", sep=","):
    "A table of letters as the rice csv, written without the package."
    calls = letters_of(pop, "/", "0").T
    calls = [[c[0] if len(c) == 3 and c[0] == c[2] else c for c in row] for row in calls]
    rows = [["id", "chr", "position", *pop.sample_id]]
    rows += [[name, "1", str(bp), *row] for name, bp, row in
             zip(pop.variant_id, pop.ds.variant_position.to_numpy(), calls, strict=True)]
    path.write_bytes("".join(sep.join(r) + end for r in rows).encode())
    return path


# --- round trips -----------------------------------------------------------------------------------------------------


@given(matrices)
@quick
def test_bed_comes_back_and_is_written_with_the_same_bytes(tmp_path, matrix):
    pop = population(matrix)
    bed = write_plink(pop, tmp_path / "a", overwrite=True)
    back = read_plink(bed)
    assert_same(back, pop)
    again = write_plink(back, tmp_path / "b", overwrite=True)
    for end in ("bed", "bim", "fam"):
        assert again.with_suffix(f".{end}").read_bytes() == bed.with_suffix(f".{end}").read_bytes()
    assert_same(read_plink(bed, store=tmp_path / "c.zarr", overwrite=True), pop)
    assert_same(read_plink(bed, store=tmp_path / "c.npy", overwrite=True), pop)


@given(matrices)
@quick
def test_bed_files_of_bed_reader_are_read_and_ours_read_by_it(tmp_path, matrix):
    "An independent implementation of both directions."
    pop = population(matrix)
    bed = write_plink(pop, tmp_path / "ours", overwrite=True)
    with open_bed(bed) as theirs:
        values = theirs.read(dtype="int8")
        np.testing.assert_array_equal(np.where(values == -127, -1, values), pop.dosage)
        assert theirs.iid.tolist() == pop.sample_id.tolist() and theirs.sid.tolist() == pop.variant_id.tolist()
        assert theirs.allele_1.tolist() == pop.ds.variant_allele.to_numpy()[:, 1].tolist()
    properties = {"iid": pop.sample_id, "sid": pop.variant_id, "allele_1": pop.ds.variant_allele.to_numpy()[:, 1],
                  "allele_2": pop.ds.variant_allele.to_numpy()[:, 0]}
    to_bed(tmp_path / "theirs.bed", np.where(matrix < 0, -127, matrix).astype(np.int8), properties=properties)
    assert (tmp_path / "theirs.bed").read_bytes() == bed.read_bytes()
    assert_same(read_plink(tmp_path / "theirs"), pop)
    a2 = read_plink(tmp_path / "theirs", counted="A2")
    np.testing.assert_array_equal(a2.dosage, np.where(pop.dosage < 0, -1, 2 - pop.dosage))
    assert a2.ds.variant_allele.to_numpy().tolist() == pop.ds.variant_allele.to_numpy()[:, ::-1].tolist()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("blank", [" ", "\t", "  "])
@given(matrix=matrices)
@quick
def test_ped_comes_back(tmp_path, end, blank, matrix):
    pop = population(matrix)
    assert_same(read_ped(write_ped(pop, tmp_path / "a.ped", end, blank), counted=counted(pop)), pop)
    minor = read_ped(tmp_path / "a.ped")
    frequency = minor.allele_frequency().dropna()
    assert (frequency <= 0.5).all()
    bed = read_plink(write_plink(minor, tmp_path / "a", overwrite=True))
    assert_same(bed, minor)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("single", [False, True])
@given(matrix=matrices)
@quick
def test_hapmap_comes_back(tmp_path, end, single, matrix):
    pop = population(matrix)
    assert_same(read_hapmap(write_hapmap(pop, tmp_path / "a.hmp.txt", end, single)), pop)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("sep", [",", "\t", ";"])
@given(matrix=matrices)
@quick
def test_tables_of_letters_come_back(tmp_path, end, sep, matrix):
    pop = population(matrix)
    path = write_letters(pop, tmp_path / "a.csv", end, sep)
    assert_same(read_letters(path, counted=counted(pop)), pop)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert (read_letters(path).allele_frequency().dropna() <= 0.5).all()


@pytest.mark.parametrize("coding", ["0/1/2", "-1/0/1"])
@given(matrix=matrices)
@quick
def test_tables_of_numbers_come_back(tmp_path, coding, matrix):
    pop = population(matrix)
    for name in ("a.csv", "a.csv.gz"):
        write_csv(pop, tmp_path / name, coding=coding, overwrite=True)
        assert_same(read_table(tmp_path / name, coding=coding, ids="first"), pop, alleles=False)


@given(matrix=matrices)
@quick
def test_two_codes_come_back(tmp_path, matrix):
    pop = Population.from_array(np.where(matrix < 0, -9, matrix > 0), coding="0/1", missing=-9)
    write_csv(pop, tmp_path / "a.csv", coding="-1/1", overwrite=True)
    back = read_table(tmp_path / "a.csv", coding="-1/1", ids="first")
    assert_same(back, pop, alleles=False)
    assert back.coding == "0/1"
    bed = read_plink(write_plink(pop, tmp_path / "a", overwrite=True))
    np.testing.assert_array_equal(bed.dosage, np.where(pop.dosage < 0, -1, 2 * pop.dosage))


@given(matrix=matrices)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_vcf_zarr_of_bio2zarr_counts_alt(tmp_path_factory, matrix):
    "bio2zarr converts a .bed; its ALT dosages are those of the same letter."
    plink = pytest.importorskip("bio2zarr.plink")
    folder = tmp_path_factory.mktemp("vcz")
    pop = population(matrix)
    write_plink(pop, folder / "a")
    plink.convert(folder / "a", folder / "a.vcz")
    back = open_vcf_zarr(folder / "a.vcz", absent="reference")  # bio2zarr leaves chunks of 0/0 out
    letter = counted(pop)
    for name, (_, alt), calls in zip(back.variant_id, back.ds.variant_allele.to_numpy(), back.dosage.T, strict=True):
        mine = pop.dosage[:, pop.variant_id.tolist().index(name)]
        np.testing.assert_array_equal(calls, mine if alt == letter[name] else np.where(mine < 0, -1, 2 - mine))
    assert back.sample_id.tolist() == pop.sample_id.tolist()


VCF = """##fileformat=VCFv4.3
##contig=<ID=1,length=100000>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tB73\tGröße-7\tCI7
1\t1200\ts1\tA\tG\t.\tPASS\t.\tGT\t0/0\t0/1\t1/1
1\t5300\t.\tC\tT\t.\tPASS\t.\tGT\t1|1\t./.\t0/0
1\t6410\ts3\tT\t.\t.\tPASS\t.\tGT\t0/0\t0/0\t./.
1\t6500\ts4\tT\tA,C\t.\tPASS\t.\tGT\t0/0\t0/2\t1/2
"""


def test_a_vcf_converted_by_bio2zarr_is_read(tmp_path):
    vcf = pytest.importorskip("bio2zarr.vcf")
    pytest.importorskip("cyvcf2")
    (tmp_path / "a.vcf").write_text(VCF)
    vcf.convert([tmp_path / "a.vcf"], tmp_path / "a.vcz")
    with pytest.raises(ValueError, match="marker 1:6500: 1 markers have more than two alleles.*multiallelic='drop'"):
        open_vcf_zarr(tmp_path / "a.vcz")
    for store in (None, tmp_path / "b.zarr"):
        pop = open_vcf_zarr(tmp_path / "a.vcz", multiallelic="drop", store=store)
        assert pop.dosage.T.tolist() == [[0, 1, 2], [2, -1, 0], [0, 0, -1]]
        assert pop.variant_id.tolist() == ["s1", "1:5300:C:T", "s3"] and pop.sample_id[1] == "Größe-7"
        assert pop.ds.variant_allele.to_numpy().tolist() == [["A", "G"], ["C", "T"], ["T", ""]]
        assert pop.provenance.detail.str.contains("left out").any()
    next(f for f in (tmp_path / "a.vcz" / "call_genotype").rglob("0*") if f.is_file()).unlink()
    with pytest.raises(ValueError, match="a.vcz, call_genotype: 1 of 1 chunks are absent.*absent='reference'"):
        open_vcf_zarr(tmp_path / "a.vcz")


def test_haploid_calls_of_a_vcf_are_refused():
    with pytest.raises(ValueError, match="marker 2, sample 1: a haploid call"):
        genotype_files.alt_dosage(np.array([[[0, 0], [1, 1]], [[0, 1], [1, -2]]], np.int8),
                                  lambda k, i: ("a.vcz", f"marker {k + 1}, sample {i}"))


def test_family_sex_trait_and_map_go_through_plink(tmp_path):
    family = {"family": ["f1", "f1", "f2"], "father": ["0", "G0", "0"], "mother": "0", "sex": ["1", "2", "0"]}
    covariates = pd.DataFrame(family, ["G0", "r1", "ö2"])
    traits = pd.DataFrame({"phenotype": [1.25, np.nan, 1e-7]}, covariates.index)
    pop = population(np.array([[0, 1], [2, -1], [1, 1]], np.int8), covariates=covariates, phenotypes=traits)
    back = read_plink(write_plink(pop, tmp_path / "a"))
    pd.testing.assert_frame_equal(back.covariates, pop.covariates, check_dtype=False)
    pd.testing.assert_frame_equal(back.phenotypes, pop.phenotypes)
    np.testing.assert_array_equal(back.ds.variant_position, pop.ds.variant_position)
    centimorgan = population(np.array([[0, 1]], np.int8), position=[0.5, 12.25], position_unit="cM")
    np.testing.assert_array_equal(read_plink(write_plink(centimorgan, tmp_path / "b")).ds.variant_cm, [0.5, 12.25])


def test_longer_alleles_and_digits_in_ped(tmp_path):
    (tmp_path / "a.map").write_text("1 indel 0 1\n1 snp 0 2\n")
    (tmp_path / "a.ped").write_text("f a 0 0 0 -9 ACC ACC A G\nf b 0 0 0 -9 A ACC A A\nf c 0 0 0 -9 ACC ACC 0 0\n")
    pop = read_ped(tmp_path / "a.ped")
    assert pop.dosage.tolist() == [[0, 1], [1, 0], [0, -1]]
    assert pop.ds.variant_allele.to_numpy().tolist() == [["ACC", "A"], ["A", "G"]]
    (tmp_path / "a.ped").write_text("f a 0 0 0 -9 1 2 3 3\nf b 0 0 0 -9 1 1 3 4\n")
    assert read_ped(tmp_path / "a.ped", counted="second").dosage.tolist() == [[1, 0], [0, 1]]


# --- tables: every habit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "arguments"), [
    ("line,M1,M2\nB73,0,2\nMo17,1,NA\n", {}),
    ("\ufeffline,M1,M2\r\nB73,0,2\r\nMo17,1,\r\n\r\n", {}),
    ("M1\tM2\nB73\t0\t2\nMo17\t1\tNA\n", {"samples": "rows"}),
    ("taxa\tM1\tM2\n1\tB73\t0\t2\n2\tMo17\t1\tNA\n", {}),
    ("SNP;B73;Mo17\nM1;0;1\nM2;2;NA\n", {}),
    ('"",M1,M2\n"B73",0.0,2.0\n"Mo17",1.0,NaN\n', {"samples": "rows"}),
    ("x M1 M2\nB73 0 2\nMo17 1 .\n", {"samples": "rows"}),
    ("id,M1,M2\nB73,0,2\nMo17,1,-9\n", {"samples": "rows", "missing": -9}),
    ("id,M1,M2\nB73,0,2\nMo17,1,NA\n", {"covariates": pd.DataFrame({"x": [1]}, ["Mo17"])}),
    ("id,B73,Mo17\nM1,0,1\nM2,2,NA\n", {"phenotypes": pd.DataFrame({"y": [1.0]}, ["Mo17"])}),
    ("M1,M2\n0,2\n1,NA\n", {"samples": "rows", "sample_id": ["B73", "Mo17"]}),
    ("0,2\n1,NA\n", {"samples": "rows", "sample_id": ["B73", "Mo17"], "variant_id": ["M1", "M2"]}),
])
def test_tables_with_any_header(tmp_path, content, arguments):
    (tmp_path / "a.txt").write_text(content, newline="")
    pop = read_table(tmp_path / "a.txt", **arguments)
    assert pop.dosage.tolist() == [[0, 2], [1, -1]]
    assert pop.sample_id.tolist() == ["B73", "Mo17"] and pop.variant_id.tolist() == ["M1", "M2"]


@pytest.mark.parametrize(("content", "argument"), [
    ("M1,M2\nB73,0,2\nMo17,1,0\n", "samples='rows' or samples='columns'"),
    ("0,2\n1,0\n", "samples='rows' or samples='columns'"),
    ("id,M1,M2\n1,0,2\n2,1,1\n", "ids='first' or ids='none'"),
    (",M1,M2\n1,0,2\n2,1,1\n", "ids='first' or ids='none'"),
])
def test_what_a_table_does_not_tell_is_asked(tmp_path, content, argument):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=f"a.csv, line .*{argument}"):
        read_table(tmp_path / "a.csv")


# --- damaged files ----------------------------------------------------------------------------------------------------

GOOD = population(np.array([[0, 1, 2], [2, -1, 0], [1, 1, 0], [0, 0, 2], [2, 2, 1]], np.int8))


def damage(path, change):
    "Change the bytes of a file."
    path.write_bytes(change(path.read_bytes()))
    return path


def line(number, change):
    "A change of one line (counted from 1)."
    def changed(content):
        lines = content.split(b"\n")
        lines[number - 1] = change(lines[number - 1])
        return b"\n".join(lines)
    return changed


@pytest.mark.parametrize(("change", "place", "problem"), [
    (lambda b: b[:-1], "byte 8", "need 9 bytes, the file has 8: it is cut off"),
    (lambda b: b[:2], "byte 3", "header is cut off"),
    (lambda b: b"", "byte 1", "no PLINK .bed"),
    (lambda b: b + b"\0", "byte 9", "too long"),
    (lambda b: b"\x1f\x8b" + b[2:], "byte 1", "1f8b, not 6c1b"),
    (lambda b: b[:2] + b"\0" + b[3:], "byte 3", "sample after sample"),
])
def test_damaged_bed(tmp_path, change, place, problem):
    bed = damage(write_plink(GOOD, tmp_path / "a"), change)
    with pytest.raises(ValueError, match=rf"a\.bed, {place}: .*{problem}"):
        read_plink(bed)


@pytest.mark.parametrize(("end", "change", "place", "problem"), [
    ("bim", line(2, lambda r: r.replace(b"m1", b"m0")), "lines 1 and 2", "marker id 'm0' occurs twice"),
    ("bim", line(2, lambda r: r[:6]), "line 2", "fields where 6 are expected"),
    ("bim", line(3, lambda r: r.replace(b"205", b"x")), "line 3", "position 'x'"),
    ("fam", line(4, lambda r: b"f\tG0\t0\t0\t0\t-9"), "lines 1 and 4", "sample id 'G0' occurs twice"),
    ("fam", line(1, lambda r: r.replace(b"G0", b"G 0")), "line 1", "7 fields where 6"),
    ("fam", lambda b: b"", "line 1", "empty"),
    ("fam", lambda b: b.decode().replace("ß", "ö").encode("latin1", "replace"), "line 3", "not UTF-8.*iconv"),
])
def test_damaged_bim_and_fam(tmp_path, end, change, place, problem):
    bed = write_plink(GOOD, tmp_path / "a")
    damage(bed.with_suffix(f".{end}"), change)
    with pytest.raises(ValueError, match=rf"a\.{end}, {place}: .*{problem}"):
        read_plink(bed)


def test_bim_and_fam_of_another_size(tmp_path):
    bed = write_plink(GOOD, tmp_path / "a")
    damage(bed.with_suffix(".bim"), lambda b: b + b"1\tnew\t0\t1\tA\tG\n")
    with pytest.raises(ValueError, match="5 samples .* and 4 markers .* need 11 bytes"):
        read_plink(bed)


@pytest.mark.parametrize("reader", ["ped", "hapmap", "letters", "table"])
@pytest.mark.parametrize("at", range(1, 60, 4))
def test_a_file_cut_off_anywhere_is_refused_or_read_to_a_line_end(tmp_path, reader, at):
    "Cut at every fourth byte from the end: no call is invented, and no line half read."
    writers = {"ped": write_ped, "hapmap": write_hapmap, "letters": write_letters}
    path = tmp_path / f"a.{reader}"
    if reader == "table":
        write_csv(GOOD, path)
    else:
        writers[reader](GOOD, path)
    read = {"ped": read_ped, "hapmap": read_hapmap, "letters": lambda p: read_letters(p, counted=counted(GOOD)),
            "table": lambda p: read_table(p, ids="first")}[reader]
    content = path.read_bytes()
    damage(path, lambda b: b[:-at])
    kept = content[:-at]
    try:
        pop = read(path)
    except ValueError as error:
        assert path.name in str(error) and str(error).count(". ") >= 1
        return
    assert kept.endswith(b"\n") or content[len(kept) : len(kept) + 1] == b"\n"
    assert pop.n_samples <= 5 and pop.n_variants <= 3


def at_line(number, change):
    return line(number, lambda r: change(r.decode()).encode())


@pytest.mark.parametrize(("change", "problem"), [
    (at_line(2, lambda r: r.replace("0 0 1 -9 ", "0 0 1 -9 N N ", 1).rsplit(" ", 2)[0]),
     "line 2, sample r1, marker m0: 'N' is no allele.*missing="),
    (at_line(2, lambda r: r.rsplit(" ", 1)[0] + " 0"), "line 2, sample r1, marker m2: one allele is known"),
    (at_line(3, lambda r: r + " A A"), "line 3, .*14 fields where 12 are expected"),
    (at_line(3, lambda r: "f ö2"), "line 3: 2 fields where 7"),
    (at_line(4, lambda r: r.replace("ß3", "G0")), "lines 1 and 4: sample id 'G0' occurs twice"),
])
def test_damaged_ped(tmp_path, change, problem):
    with pytest.raises(ValueError, match=rf"a\.ped, {problem}"):
        read_ped(damage(write_ped(GOOD, tmp_path / "a.ped"), change))


def test_third_allele_mixed_codings_and_a_map_of_another_file(tmp_path):
    (tmp_path / "a.map").write_text("1 m0 0 1\n1 m1 0 2\n")
    for content, problem in (
        ("f a 0 0 0 -9 A A C T\nf b 0 0 0 -9 A A C G\n", "line 2, sample b, marker m1: more than two alleles: C, G, T"),
        ("f a 0 0 0 -9 A A 1 2\n", "mixed codings"),
        ("f a 0 0 0 -9 A A C T G G\n", r"12 fields where 10 are expected \(2 SNPs in the .map file\)"),
    ):
        (tmp_path / "a.ped").write_text(content)
        with pytest.raises(ValueError, match=rf"a\.ped, .*{problem}"):
            read_ped(tmp_path / "a.ped")
    (tmp_path / "a.map").write_text("1 m0 1\n")
    with pytest.raises(ValueError, match=r"a\.map, line 1: 3 fields where 4"):
        read_ped(tmp_path / "a.ped")


@pytest.mark.parametrize(("change", "problem"), [
    (lambda b: b.replace(b"NN", b"XX", 1), "line 3, sample r1, marker m1: 'XX' is no call"),
    (lambda b: b.replace(b"\tNN", b"\tN", 1).replace(b"NN", b"N"), ""),
    (at_line(2, lambda r: "\t".join([*r.split("\t")[:11], *(c[0] for c in r.split("\t")[11:])])), "mixed codings"),
    (at_line(3, lambda r: r + "\tAA"), "line 3: 17 fields where 16"),
    (at_line(3, lambda r: r.replace("m1", "m0")), "lines 2 and 3: marker id 'm0' occurs twice"),
    (at_line(1, lambda r: r.replace("r1", "G0")), "the header: sample id 'G0' occurs twice"),
    (at_line(2, lambda r: r.replace(r.split("\t")[1], "A/C/G")), "line 2, marker m0: alleles 'A/C/G'"),
    (at_line(1, lambda r: "id" + r[3:]), "line 1: this is no HapMap header"),
    (lambda b: b"PK\x03\x04" + b, "byte 1: this is a zip archive"),
    (lambda b: b.decode().encode("utf-16"), "byte 1: this is UTF-16"),
])
def test_damaged_hapmap(tmp_path, change, problem):
    path = damage(write_hapmap(GOOD, tmp_path / "a.hmp.txt"), change)
    if not problem:  # one N among pairs is a missing call
        assert_same(read_hapmap(path), GOOD)
        return
    with pytest.raises(ValueError, match=rf"a\.hmp\.txt, .*{problem}"):
        read_hapmap(path)


def test_letters_outside_the_alleles_column_are_never_swallowed(tmp_path):
    path = write_hapmap(GOOD, tmp_path / "a.hmp.txt")
    other, second = GOOD.ds.variant_allele.to_numpy()[0]
    new = next(a for a in "ACGT" if a not in (other, second))
    damage(path, line(2, lambda r: r.replace(f"{other}/{second}".encode(), f"{other}/{new}".encode())))
    with pytest.raises(ValueError, match="1 SNPs have letters outside their alleles column, the first m0"):
        read_hapmap(path)
    with pytest.warns(UserWarning, match="outside='calls': 0 calls set to missing"):
        believed = read_hapmap(path, outside="calls")
    assert_same(believed, GOOD)
    with pytest.warns(UserWarning, match="outside='missing': 3 calls set to missing"):
        strict = read_hapmap(path, outside="missing")
    assert strict.dosage[:, 0].tolist() == [0, -1, -1, 0, -1]
    assert "3 calls set to missing" in strict.provenance.detail.iloc[-1]


@pytest.mark.parametrize(("change", "problem"), [
    (at_line(3, lambda r: r.replace(",0,", ",X,", 1)), "line 3, sample r1, marker m1: 'X' is no call"),
    (at_line(3, lambda r: r.rsplit(",", 1)[0]), "line 3: 7 fields where 8"),
    (at_line(3, lambda r: r.replace("105", "1e2")), "line 3: position '1e2'"),
    (at_line(3, lambda r: r.replace("m1", "m0")), "lines 2 and 3: marker id 'm0' occurs twice"),
    (at_line(1, lambda r: r.replace("r1", "G0")), "line 1: .*occur twice"),
    (at_line(1, lambda r: r.replace("chr", "chromosome")), "line 1: there is no column 'chr'"),
    (at_line(1, lambda r: r.replace("id,chr", "id,strand,chr")), "line 1: columns .'strand'. stand among"),
    (lambda b: gzip.compress(b)[:-9], "after line .*cut off"),
    (lambda b: b"", "line 1: the file is empty|empty"),
])
def test_damaged_letters(tmp_path, change, problem):
    path = damage(write_letters(GOOD, tmp_path / "a.csv"), change)
    with pytest.raises(ValueError, match=rf"a\.csv, .*({problem})"):
        read_letters(path)


def test_third_letter_and_mixed_letters(tmp_path):
    (tmp_path / "a.csv").write_text("id,chr,position,a,b,c\ns1,1,1,A,G,T\n")
    with pytest.raises(ValueError, match=r"line 2, sample ., marker s1: more than two alleles \(A 2 times"):
        read_letters(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("id,chr,position,a,b,c\ns1,1,1,A,GG,A\n")
    with pytest.raises(ValueError, match="mixed codings"):
        read_letters(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("id,chr,position,a,b,c\ns1,1,1,A,A,A\n")
    with pytest.raises(ValueError, match="counted names allele|counted must be"):
        read_letters(tmp_path / "a.csv", counted={"other": "A"})
    assert read_letters(tmp_path / "a.csv", counted={"s1": "A"}).dosage.tolist() == [[2], [2], [2]]
    with pytest.raises(ValueError, match="1 ids are needed, and variant_id has 2"):
        read_letters(tmp_path / "a.csv", variant_id=["x", "y"])


@pytest.mark.parametrize(("content", "problem"), [
    ("line,M1,M2\nB73,0,3\n", "line 2, row B73, column M2: '3' is outside the declared coding 0/1/2.*missing='3'"),
    ("line,M1,M2\nB73,0,2\nMo17,-1,1\n", "line 3, row Mo17, column M1: '-1'.*coding='-1/0/1'"),
    ("line,M1,M2\nB73,0,A\n", "column M2: 'A'.*read_letters"),
    ("line,M1,M2\nB73,0,0.5\n", "column M2: '0.5'"),
    ("line,M1,M2\nB73,0,2\nMo17,1\n", "line 3: 2 fields where 3"),
    ("line,M1,M1\nB73,0,2\n", "the header: marker id 'M1' occurs twice"),
    ("line,M1,M2\nB73,0,2\nB73,1,1\n", "lines 2 and 3: sample id 'B73' occurs twice"),
    ("line,M1,M2\n", "at least two lines"),
    ("", "empty|at least two lines"),
])
def test_damaged_tables(tmp_path, content, problem):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.csv, .*({problem})"):
        read_table(tmp_path / "a.csv")


def test_a_full_disk_leaves_no_plink_files(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(genotype_files, "pack_bed", full)
    with pytest.raises(OSError, match="No space left on device.*Nothing half written"):
        write_plink(GOOD, tmp_path / "a")
    assert not any(tmp_path.iterdir())


def test_bits_of_a_byte():
    assert pack_bed(np.array([[2, 0, -1, 1, 2]], np.int8)).tolist() == [[0b10011100, 0]]


def test_names_with_blanks_are_not_written_to_plink(tmp_path):
    pop = Population.from_array([[0, 1]], sample_id=["two words"])
    with pytest.raises(ValueError, match="two words"):
        write_plink(pop, tmp_path / "a")


# --- the real files ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    "The mirror with the public data."
    folder = os.environ.get("GP_LITERATE_DATA")
    if not folder or not Path(folder, "rice").is_dir():
        pytest.skip("needs the public data: GP_LITERATE_DATA")
    return Path(folder)


@pytest.mark.data
def test_rice_as_letters_ped_and_bed(data, tmp_path):
    csv = read_letters(data / "rice/RiceDiversity.44K.MSU6.Genotypes.csv.gz")
    assert csv.dosage.shape == (413, 36901)
    assert (csv.dosage < 0).sum() == 660_751 and (csv.dosage == 1).sum() == 6009
    assert (csv.allele_frequency() > 0).all()  # no monomorphic SNP
    with zipfile.ZipFile(data / "rice/RiceDiversity.44K.MSU6.Genotypes_PLINK.zip") as archive:
        archive.extractall(tmp_path)
    ped = read_ped(next(tmp_path.glob("*/sativas413.ped")))
    np.testing.assert_array_equal(ped.dosage, csv.dosage)
    np.testing.assert_array_equal(ped.ds.variant_allele, csv.ds.variant_allele)
    assert np.flatnonzero(ped.variant_id != csv.variant_id).tolist() == [22250, 22251]
    bed = read_plink(write_plink(ped, tmp_path / "rice"))
    assert_same(bed, ped)
    map_ids = [row.split()[1] for row in (data / "rice/sativas413.map").read_text().splitlines()]
    assert ped.variant_id.tolist() == map_ids
    by_row = read_letters(data / "rice/RiceDiversity.44K.MSU6.Genotypes.csv.gz", variant_id=map_ids)
    assert by_row.variant_id.tolist() == map_ids


@pytest.mark.data
def test_three_encodings_of_maize_agree_by_name(data, tmp_path):
    hapmap = data / "gapit/mdp_genotype_test.hmp.txt"
    with pytest.raises(ValueError, match="48 SNPs have letters outside"):
        read_hapmap(hapmap)
    with pytest.warns(UserWarning, match="27 calls"):
        letters = read_hapmap(hapmap, outside="calls")
    with pytest.warns(UserWarning, match="2,277 calls"):
        strict = read_hapmap(hapmap, outside="missing")
    numbers = read_table(data / "gapit/mdp_numeric.txt")
    assert numbers.dosage.shape == letters.dosage.shape == (281, 3093)
    assert (numbers.sample_id != letters.sample_id).sum() == 13
    assert [int((numbers.dosage == g).sum()) for g in (0, 1, 2)] == [432_434, 38_594, 398_105]
    N = numbers.sel(samples=letters.sample_id, variants=letters.variant_id).dosage
    called = letters.dosage >= 0
    same, turned = ((((letters.dosage == M) & called).sum(axis=0)) for M in (N, 2 - N))
    differ = called & (letters.dosage != np.where(turned > same, 2 - N, N))
    outside = int((strict.dosage < 0).sum()) - 31_411
    assert ((turned > same).sum(), differ.sum(), outside, differ.sum() + outside) == (73, 1290, 2277, 3567)
    assert_same(read_plink(write_plink(letters, tmp_path / "maize")), letters)


def test_a_large_bed_is_streamed(tmp_path):
    "Random bytes are a valid .bed file."
    n, p = 1001, 20_000
    rng = np.random.default_rng(1)
    packed = rng.integers(0, 256, (p, -(-n // 4)), np.uint8)
    packed[:, -1] &= 0b11
    (tmp_path / "a.bed").write_bytes(genotype_files.BED_MAGIC + packed.tobytes())
    (tmp_path / "a.bim").write_text("".join(f"1 m{j} 0 {j} A G\n" for j in range(p)))
    (tmp_path / "a.fam").write_text("".join(f"f s{i} 0 0 0 -9\n" for i in range(n)))
    whole, stored = read_plink(tmp_path / "a"), read_plink(tmp_path / "a", store=tmp_path / "a.zarr")
    assert is_loaded(whole.ds) and not is_loaded(stored.ds)
    np.testing.assert_array_equal(stored.dosage, whole.dosage)
    again = write_plink(stored, tmp_path / "b")
    assert again.read_bytes() == (tmp_path / "a.bed").read_bytes()
