/* standalone_main.c: runs a fuzz target once over every file of the directories named as arguments, without
 * libFuzzer. So the corpora are regression tests under every compiler. A directory without a file is a failure:
 * it tested nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole file in memory that the caller frees, exactly as long as the file, so that a sanitizer sees an
 * overrun. */
static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    uint8_t *bytes = NULL;
    long length;
    if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)length;
        bytes = malloc(*size + (*size == 0));
        if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

/* Returns the number of files run, or -1. */
static int run_directory(const char *directory) {
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        perror(directory);
        return -1;
    }
    int runs = 0;
    for (struct dirent *entry; runs >= 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        size_t size = 0;
        uint8_t *bytes = read_file(path, &size);
        if (bytes == NULL) {
            perror(path);
            runs = -1;
        } else {
            LLVMFuzzerTestOneInput(bytes, size);
            free(bytes);
            runs++;
        }
    }
    closedir(dir);
    return runs;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int runs = run_directory(argv[i]);
        printf("%s: %d inputs\n", argv[i], runs < 0 ? 0 : runs);
        if (runs <= 0) {
            return EXIT_FAILURE;
        }
    }
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
