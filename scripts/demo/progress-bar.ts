const WIDTH = 30;

/** A progress bar on one line of a terminal, or one line per change where the output is no terminal. */
export function progressBar(out: NodeJS.WriteStream): { show(percent: number, message: string): void; end(): void } {
  let shown = '';
  return {
    show(percent, message) {
      const filled = Math.round((percent / 100) * WIDTH);
      const line = `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${String(percent).padStart(3)} %  ${message}`;
      if (line === shown) return;
      shown = line;
      out.write(out.isTTY ? `\r\u001b[K${line}` : `${line}\n`);
    },
    end() {
      if (out.isTTY && shown !== '') out.write('\n');
    },
  };
}
