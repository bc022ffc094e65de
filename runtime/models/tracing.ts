/**
 * Removes the variables that make LangChain report every call to an outside service. The composition root calls it
 * on the process environment before anything imports LangChain and before worker threads copy that environment.
 *
 * @returns the names that were removed, for the log
 */
export const removeTracingVariables = (env: Record<string, string | undefined>): string[] => {
  const names = Object.keys(env).filter((name) => /^(LANGSMITH|LANGCHAIN)_/i.test(name));
  for (const name of names) delete env[name];
  return names;
};
